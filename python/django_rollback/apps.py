"""The app's configuration. Label and tables are those of the original: an installation upgrades in place."""

from __future__ import annotations

from django.apps import AppConfig


class DjangoRollbackConfig(AppConfig):
    name = "django_rollback"
    verbose_name = "Releases and rollbacks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Here and not above: these modules may be imported only when Django's registry of apps is there.
        from django.core import checks
        from django.db.models.signals import post_migrate, pre_migrate

        from . import checks as our_checks
        from . import migrate_lock

        checks.register(our_checks.check_settings)
        checks.register(our_checks.check_engine)
        checks.register(our_checks.check_databases, checks.Tags.database)
        checks.register(our_checks.check_commit, deploy=True)
        checks.register(our_checks.check_ahead)
        pre_migrate.connect(migrate_lock.before_migrate, sender=self)
        post_migrate.connect(migrate_lock.after_migrate, sender=self)
