"""The Library page: what a developer includes, and the wheel of it."""

from __future__ import annotations

from flask import Blueprint, Response, abort, render_template

from mpesa_integrations.version import __version__

from .installed_wheel import NAME, installed_wheel, own_distribution

_WITH = {"": "Python", "[flask,sqlalchemy]": "Flask", "[django]": "Django"}


def add_pages(blueprint: Blueprint) -> None:
    """Add the Library page and its download."""

    @blueprint.get("/library")
    def library() -> str:
        wheel = installed_wheel(own_distribution())
        return render_template(
            "library.html",
            version=__version__,
            wheel=wheel,
            source=f"./{wheel.file_name}" if wheel else NAME,
            extras=_WITH,
        )

    @blueprint.get("/library/<file_name>")
    def library_wheel(file_name: str) -> Response:
        wheel = installed_wheel(own_distribution())
        if wheel is None or wheel.file_name != file_name:
            abort(404)
        return Response(
            wheel.content,
            content_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{wheel.file_name}"'},
        )
