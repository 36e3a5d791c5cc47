"""The other sides of plugins that speak HTTP: a real server over a real socket."""

from plugin_lab.http import Asked, HttpServer

__all__ = ["Asked", "HttpServer"]
