import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import django_mpesa.constraints
import django_mpesa.fields


class Migration(migrations.Migration):
    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_mpesa", "0003_outbox"),
    ]

    operations = [
        migrations.AddField(
            model_name="outboxentry",
            name="given_up_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="given to a person"),
        ),
        migrations.AddField(
            model_name="outboxentry",
            name="handler",
            field=models.CharField(blank=True, default="", max_length=200, verbose_name="handler"),
        ),
        migrations.AddField(
            model_name="outboxentry",
            name="problem",
            field=models.CharField(blank=True, default="", max_length=255, verbose_name="problem"),
        ),
        migrations.AddField(
            model_name="outboxentry",
            name="sequence",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="transaction",
            name="claimed_order_key",
            field=django_mpesa.fields.ExactCharField(editable=False, max_length=100, null=True),
        ),
        migrations.AddField(
            model_name="transaction",
            name="conflict_decided_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="contradiction decided"
            ),
        ),
        migrations.AddField(
            model_name="transaction",
            name="order_key",
            field=django_mpesa.fields.ExactCharField(
                blank=True, default="", editable=False, max_length=100, verbose_name="order"
            ),
        ),
        migrations.AddField(
            model_name="transaction",
            name="reversal_pending",
            field=models.DecimalField(
                decimal_places=2,
                default=0,
                editable=False,
                max_digits=14,
                verbose_name="amount being given back",
            ),
        ),
        migrations.RemoveConstraint(
            model_name="transaction",
            name="django_mpesa_transaction_state",
        ),
        migrations.AddField(
            model_name="transaction",
            name="send_before",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="to be sent by"
            ),
        ),
        migrations.AlterField(
            model_name="transaction",
            name="state",
            field=models.CharField(
                choices=[
                    ("queued", "Queued"),
                    ("initiated", "Started"),
                    ("pending", "Waiting"),
                    ("unknown", "Being checked"),
                    ("completed", "Paid"),
                    ("failed", "Failed"),
                    ("cancelled", "Cancelled"),
                    ("partly_reversed", "Partly given back"),
                    ("reversed", "Given back"),
                ],
                default="initiated",
                max_length=16,
                verbose_name="state",
            ),
        ),
        migrations.AddConstraint(
            model_name="transaction",
            constraint=django_mpesa.constraints.check_constraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "queued",
                            "initiated",
                            "pending",
                            "unknown",
                            "completed",
                            "failed",
                            "cancelled",
                            "partly_reversed",
                            "reversed",
                        ],
                    )
                ),
                name="django_mpesa_transaction_state",
            ),
        ),
        migrations.AlterModelOptions(
            name="transaction",
            options={
                "ordering": ("-id",),
                "permissions": (
                    ("view_full_msisdn", "Can see whole phone numbers"),
                    ("reverse_transaction", "Can give a payment's money back"),
                    ("resolve_transaction", "Can decide what became of a payment"),
                ),
                "verbose_name": "M-Pesa transaction",
                "verbose_name_plural": "M-Pesa transactions",
            },
        ),
        migrations.AlterModelOptions(
            name="outboxentry",
            options={
                "permissions": (("run_handlers", "Can run handlers again"),),
                "verbose_name": "M-Pesa handler to be run",
                "verbose_name_plural": "M-Pesa handlers to be run",
            },
        ),
        migrations.AlterField(
            model_name="outboxentry",
            name="account",
            field=models.CharField(max_length=40, verbose_name="account"),
        ),
        migrations.AlterField(
            model_name="outboxentry",
            name="attempts",
            field=models.PositiveIntegerField(default=0, verbose_name="attempts"),
        ),
        migrations.AlterField(
            model_name="outboxentry",
            name="due_at",
            field=models.DateTimeField(verbose_name="next attempt"),
        ),
        migrations.AlterField(
            model_name="outboxentry",
            name="event",
            field=models.CharField(max_length=20, verbose_name="event"),
        ),
        migrations.AlterField(
            model_name="outboxentry",
            name="transaction",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.MPESA_TRANSACTION_MODEL,
                verbose_name="transaction",
            ),
        ),
        migrations.AddIndex(
            model_name="transaction",
            index=models.Index(fields=["order_key"], name="django_mpes_order_k_0ef723_idx"),
        ),
        migrations.AddConstraint(
            model_name="transaction",
            constraint=models.UniqueConstraint(
                fields=("account", "operation", "claimed_order_key"),
                name="django_mpesa_transaction_order",
            ),
        ),
    ]
