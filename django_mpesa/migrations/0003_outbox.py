"""The rows of events that are to be dispatched are called what the field calls them."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("django_mpesa", "0002_claims_and_attempts")]

    operations = [
        migrations.RenameModel(old_name="Notice", new_name="OutboxEntry"),
        migrations.RenameIndex(
            model_name="outboxentry",
            old_name="django_mpes_account_13a808_idx",
            new_name="django_mpes_account_f14ce7_idx",
        ),
    ]
