"""The HTTP server of the endpoint, in ASGI on uvicorn."""
