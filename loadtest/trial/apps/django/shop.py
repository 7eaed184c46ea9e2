"""A small shop in one file: Django's sessions, log-in, CSRF tokens and conditional GET, as a new project has them.

Environment: PORT, DATA (a directory), SITE (host:port that browsers use). `shop.py setup NAME...` makes the database
and one user for each name, `shop.py runserver` serves.
"""

import collections
import os
import sys
import time

import django
from django.conf import settings

DATA = os.environ["DATA"]

settings.configure(
    DEBUG=False,
    SECRET_KEY="trial",
    ALLOWED_HOSTS=["*"],
    CSRF_TRUSTED_ORIGINS=["http://" + os.environ["SITE"]],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.middleware.http.ConditionalGetMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.path.join(DATA, "shop.sqlite3"),
            "OPTIONS": {"timeout": 60},
        }
    },
    # Fast hashes, since the trial logs many users in.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth import authenticate, login, logout  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.http import HttpResponse, HttpResponseForbidden, HttpResponseRedirect, JsonResponse  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.cache import cache_control, never_cache  # noqa: E402

rendered = collections.Counter()


def page(request, title, **fields):
    rendered[request.path] += 1
    fields["made"] = rendered[request.path]
    time.sleep(0.2)
    lines = "\n".join(f'<p id="{k}">{v}</p>' for k, v in fields.items() if v)
    return HttpResponse(f"<!doctype html><title>{title}</title>\n<h1>{title}</h1>\n{lines}\n")


def who(request):
    return request.user.username or "guest"


def home(request):
    # The user is read, so that Django says Vary: Cookie. It states no lifetime.
    return page(request, "Home", who=who(request))


def account(request):
    # A form with a token: the cookie csrftoken is set, for guests as well.
    return page(request, "Account", who=who(request), private=get_token(request))


@never_cache
def orders(request):
    return page(request, "Orders", who=who(request))


@cache_control(public=True, max_age=60)
def news(request):
    return page(request, "News", text="the same for everybody, and it says so")


def about(request):
    return page(request, "About", text="the same for everybody, and nothing says so")


@cache_control(max_age=60)
def greeting(request):
    # A lifetime beside Vary: Cookie: right by HTTP, one variant for each cookie.
    return page(request, "Greeting", who=who(request))


def log_in(request):
    if request.method != "POST":
        return page(request, "Log in", private=get_token(request))
    user = authenticate(request, username=request.POST["name"], password=request.POST["name"])
    if user is None:
        return HttpResponseForbidden("no such user")
    login(request, user)
    return HttpResponseRedirect("/account")


def log_out(request):
    logout(request)
    return HttpResponseRedirect("/")


def count(request):
    return JsonResponse(dict(rendered))


urlpatterns = [
    path("", home),
    path("account", account),
    path("orders", orders),
    path("news", news),
    path("about", about),
    path("greeting", greeting),
    path("login", log_in),
    path("logout", log_out),
    path("-/count", count),
]

if __name__ == "__main__":
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    if sys.argv[1] == "setup":
        call_command("migrate", verbosity=0)
        for name in sys.argv[2:]:
            User.objects.create_user(name, password=name)
    else:
        from django.core.servers import basehttp

        basehttp.run("127.0.0.1", int(os.environ["PORT"]), get_wsgi_application(), threading=True)
