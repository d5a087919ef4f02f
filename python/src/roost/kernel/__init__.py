"""The Jupyter kernel "Python 3 (Roost)"."""
