"""Base of all pages and HTTP interfaces: authentication, request limits, error responses."""

from allencv_al.service.web.access import Access, Identity, OpenAccess, TokenAccess
from allencv_al.service.web.app import WebApp, current_identity
from allencv_al.service.web.running import RunningServer, ServerThread, serve, start_in_thread
from allencv_al.service.web.web_errors import WebError
from allencv_al.service.web.web_settings import WebSettings

__all__ = [
    "Access",
    "Identity",
    "OpenAccess",
    "RunningServer",
    "ServerThread",
    "TokenAccess",
    "WebApp",
    "WebError",
    "WebSettings",
    "current_identity",
    "serve",
    "start_in_thread",
]
