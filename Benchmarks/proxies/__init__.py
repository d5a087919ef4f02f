"""The proxies that `proxy.py` compares, each with the same job."""
