"""Every answer says which revision gave it."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

View = Callable[[HttpRequest], HttpResponse]


def stamp_revision(answer: View) -> View:
    def stamped(request: HttpRequest) -> HttpResponse:
        response = answer(request)
        response["X-Revision"] = settings.REVISION
        return response

    return stamped
