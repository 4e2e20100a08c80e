"""`paid_for`: what a payment is for, also where payments have a database of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models, router


class PaidForKey(GenericForeignKey):
    """A generic foreign key that leads out of the payments' database.

    Django looks for the content type and the object in the database of the row that names them.
    This one looks for each where the routers say that it is written: a replica may not have yet
    what was just paid for.
    """

    def get_content_type(
        self, obj: Any = None, id: Any = None, using: Any = None, model: Any = None
    ) -> Any:
        """A content type, by an object, its key or a model; `using` is the routers' to say."""
        types = ContentType.objects.db_manager(router.db_for_write(ContentType))
        if id is not None:
            return _Kind(types.filter(pk=id).first())
        meant = obj if obj is not None else model
        return types.get_for_model(meant, for_concrete_model=self.for_concrete_model)


def texts_of(named: Iterable[tuple[int | None, str]]) -> dict[tuple[int, str], str]:
    """What payments are for, as text: by one query for each kind of thing, however many there are.

    Args:
        named: content types' keys and objects' keys, as payments have them; of what is not there
            any more there is no text.
    """
    keys: dict[int, set[str]] = {}
    for content_type, key in named:
        if content_type is not None and key:
            keys.setdefault(content_type, set()).add(key)
    types = ContentType.objects.db_manager(router.db_for_write(ContentType)).in_bulk(keys)
    texts: dict[tuple[int, str], str] = {}
    for number, kind in types.items():
        model = kind.model_class()
        if model is None:
            continue
        meant = [key for key in keys[number] if _may_be_key(model, key)]
        for found in _Kind(kind).get_all_objects_for_this_type(pk__in=meant):
            texts[number, str(found.pk)] = str(found)
    return texts


def _may_be_key(model: type[models.Model], key: str) -> bool:
    try:
        model._meta.pk.to_python(key)
    except ValidationError:
        return False
    return True


class _Kind:
    """A content type, or what is left of one that was deleted, which finds its objects."""

    def __init__(self, found: ContentType | None) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    def model_class(self) -> Any:
        return None if self._found is None else self._found.model_class()

    def get_object_for_this_type(self, using: Any = None, *, pk: Any) -> Any:
        objects = self._objects()
        if not _may_be_key(objects.model, pk):  # as where the model has another kind of key by now
            raise ObjectDoesNotExist
        return objects.get(pk=pk)

    def get_all_objects_for_this_type(self, **keys: Any) -> Any:
        return self._objects().filter(**keys)

    def _objects(self) -> Any:
        model = self.model_class()
        if model is None:
            raise ObjectDoesNotExist
        return model._base_manager.using(router.db_for_write(model))


def set_null_here(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """On the deletion of a content type: SET_NULL, where the payments are in its database."""
    if router.db_for_write(field.model) == using:
        models.SET_NULL(collector, field, sub_objs, using)


set_null_here.lazy_sub_objs = True  # type: ignore[attr-defined]  # not looked for elsewhere, either
