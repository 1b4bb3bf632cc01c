"""The tutorial's settings, as far as a chat without pages and without a database needs them."""

SECRET_KEY = "of a server for tests"
DEBUG = True
ALLOWED_HOSTS: list[str] = []  # with DEBUG: only this machine
INSTALLED_APPS = ["daphne", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
ROOT_URLCONF = "mysite.urls"
ASGI_APPLICATION = "mysite.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
