"""The shop's pages."""

import os
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST


def home(request: HttpRequest) -> JsonResponse:
    shown = {"app": "shop", "revision": settings.REVISION, "pid": os.getpid()}
    return JsonResponse({**shown, "greeting": settings.GREETING})


def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@require_POST
def orders(request: HttpRequest) -> HttpResponse:
    if settings.STATE_DIR is not None:
        # One unbuffered write in append mode: orders of many workers never mix.
        with Path(settings.STATE_DIR, "orders").open("ab", buffering=0) as book:
            book.write(request.body + b"\n")
    return HttpResponse(request.body, content_type="text/plain", status=201)
