"""What the shop sells from its first day."""

from typing import Any

from django.db import migrations
from django.utils.translation import gettext_noop as _

PRODUCTS = [
    (_("Capulana “Ilha”"), _("Two metres of printed cotton, in indigo and ochre."), "450.00",
     "capulana.svg"),
    (_("Roasted cashews"), _("500 g from Nampula, lightly salted."), "320.00", "cashew.svg"),
    (_("Piri-piri sauce"), _("200 ml, with lime. Hotter than it looks."), "145.50", "piripiri.svg"),
    (_("Coffee from Gorongosa"), _("250 g of beans, grown under trees on the mountain."), "380.00",
     "coffee.svg"),
    (_("Forest honey"), _("400 g from the miombo, dark and strong."), "290.00", "honey.svg"),
    (_("Palm basket"), _("Woven in Inhambane, with two handles."), "1250.00", "basket.svg"),
]  # fmt: skip


def add(apps: Any, schema_editor: Any) -> None:
    product = apps.get_model("shop", "Product")
    for name, description, price, picture in PRODUCTS:
        product.objects.create(name=name, description=description, price=price, picture=picture)


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
