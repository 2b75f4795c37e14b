"""Look up what the providers' models cost: the dated price catalogue that ships with the package.

`system_catalogue()` is the packaged file, `load_catalogue(path)` a file of the same shape. Nothing is read at import.
"""

from payi_instrument.engine.catalogue.catalogue import Catalogue, load_catalogue, system_catalogue

__all__ = ["Catalogue", "load_catalogue", "system_catalogue"]
