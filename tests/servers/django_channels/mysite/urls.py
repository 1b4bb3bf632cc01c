"""No pages: the clients are not browsers."""

urlpatterns: list[object] = []
