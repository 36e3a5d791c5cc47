"""How each supervisor, proxy and server is told what to do."""
