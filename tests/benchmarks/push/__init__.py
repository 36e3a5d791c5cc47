"""`git push` of a one-line change until every host serves it, beside Piku's way of doing it."""
