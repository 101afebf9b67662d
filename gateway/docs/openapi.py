"""The OpenAPI description of all routes, and Swagger UI to read it with, served from here alone."""

from collections.abc import Iterator
from typing import Any, cast

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath
from swagger_ui_bundle import swagger_ui_path

from gateway.door.roles import WHO
from shared.errors import NotFound, ProblemDetails
from shared.service.describe import version

_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Sagamart API</title>
  <link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
  <link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="/docs/swagger-ui-bundle.js"></script>
  <script src="/docs/start.js"></script>
</body>
</html>
"""
_START = b"""SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
  persistAuthorization: true, presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout"
});
"""
_NO_OTHER_HOST = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A content security policy under which the page works offline, or visibly not at all. Swagger UI writes
styles into its elements; scripts are our own files alone."""
START = "start.js"
_ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    START: "text/javascript",
    "favicon-32x32.png": "image/png",
}


@get("/docs", include_in_schema=False, sync_to_thread=False)
def page() -> Response[str]:
    """Swagger UI."""
    return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": _NO_OTHER_HOST})


@get("/docs/{name:str}", include_in_schema=False, sync_to_thread=True)
def asset(name: FromPath[str]) -> Response[bytes]:
    """One of the files that Swagger UI is made of."""
    if name not in _ASSETS:
        raise NotFound("There is nothing at this path.")
    content = _START if name == START else (swagger_ui_path / name).read_bytes()
    return Response(content, media_type=_ASSETS[name], headers={"Cache-Control": "public, max-age=86400"})


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The description of all routes as OpenAPI 3.0."""
    state = request.app.state
    if "openapi_json" not in state:
        state["openapi_json"] = msgspec.json.encode(describe(request.app))
    return Response(state["openapi_json"], media_type="application/json")


routes = [page, asset, openapi]

config = OpenAPIConfig(
    title="Sagamart",
    version=version(),
    description="An e-commerce backend. Errors are problem+json (RFC 9457); money is whole won.",
    components=Components(
        security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
    ),
    use_handler_docstrings=True,
    render_plugins=[JsonRenderPlugin()],  # the framework's pages load their scripts from elsewhere
)


def describe(app: Litestar) -> dict[str, Any]:
    """The routes of an app that has `config`, as an OpenAPI 3.0.3 document.

    The framework writes 3.1, which the packaged Swagger UI cannot show. Its schemas miss some limits of our
    Structs, so those are taken from msgspec, which also enforces them.
    """
    document: dict[str, Any] = msgspec.to_builtins(app.openapi_schema.to_schema())
    kinds: set[Any] = {ProblemDetails}
    for route in app.routes:
        operations = document["paths"].get(getattr(route, "path_format", None), {})
        for handler in getattr(route, "route_handlers", ()):
            for method in handler.http_methods:
                if method.lower() not in operations:
                    continue
                kinds |= set(_structs(handler))
                if WHO in handler.opt:
                    operations[method.lower()]["security"] = [{"bearer": []}]
                data = handler.parsed_fn_signature.parameters.get("data")
                if data is not None and data.has_default:
                    operations[method.lower()]["requestBody"]["required"] = False
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    document["components"]["schemas"].update(schemas)
    document = {**_as_3_0(document), "openapi": "3.0.3"}
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"].pop("nullable", None)  # may be left out, but there is no null in a query
    return document


def _structs(handler: HTTPRouteHandler) -> Iterator[type[msgspec.Struct]]:
    """The Structs that a route takes and gives."""
    signature = handler.parsed_fn_signature
    fields = [signature.return_type, *signature.return_type.inner_types]
    if "data" in signature.parameters:
        fields.append(signature.parameters["data"])
    return (field.annotation for field in fields if field.is_subclass_of(msgspec.Struct))


def _as_3_0(node: Any) -> Any:
    """A part of a 3.1 document as 3.0: null types turn into `nullable`, constants into enums of one."""
    if isinstance(node, list):
        return [_as_3_0(part) for part in cast(list[Any], node)]
    if isinstance(node, float) and node.is_integer():
        return int(node)
    if not isinstance(node, dict):
        return node
    part = {key: _as_3_0(value) for key, value in cast(dict[str, Any], node).items()}
    for choice in ("oneOf", "anyOf"):
        if isinstance(part.get(choice), list):
            _allow_null(part, choice)
    if isinstance(part.get("type"), list):
        kinds = [kind for kind in part["type"] if kind != "null"]
        part |= {"type": kinds[0], "nullable": True}
    if "const" in part:
        part["enum"] = [part.pop("const")]
    if isinstance(part.get("enum"), list):
        part.setdefault("type", "string")
        if None in part["enum"]:
            part["nullable"] = True
    if part.get("required") == []:
        del part["required"]
    if isinstance(part.get("examples"), list):
        part["example"] = part.pop("examples")[0]
    return part


def _allow_null(part: dict[str, Any], choice: str) -> None:
    choices = [option for option in part[choice] if option != {"type": "null"}]
    if len(choices) == len(part[choice]):
        return
    part["nullable"] = True
    if len(choices) > 1:
        part[choice] = choices
        return
    del part[choice]
    if "$ref" in choices[0]:
        part["allOf"] = choices
    else:
        part |= choices[0]
