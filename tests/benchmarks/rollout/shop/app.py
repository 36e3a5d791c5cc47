"""A small shop: the web process of an app whose other processes use the rest of its lock."""

from flask import Flask, Response, render_template

REVISION = "0"

app = Flask(__name__)


@app.get("/")
def shelf() -> str:
    return render_template("shelf.html", goods=["rope", "tar", "canvas"], revision=REVISION)


@app.after_request
def signed(response: Response) -> Response:
    response.headers["X-Revision"] = REVISION
    return response
