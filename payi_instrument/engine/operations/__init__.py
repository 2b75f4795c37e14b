"""Answer the operations of the table: check what was sent, do it, shape the answer.

One file for each noun of the REST surface; its handlers are plain functions of a :class:`~.call.Call`.
"""
