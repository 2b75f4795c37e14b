"""The openai SDK: OpenAI, Azure, and the hosts that speak the same wire.

`provider` is what the rest of the house knows; `endpoints` says which path is read by which file.
"""
