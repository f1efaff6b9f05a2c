"""Sites made of published packages: which packages, which apps in which order, and the settings they insist on."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.database import Database
from harness.project import DJANGOS_WAY, Project
from packages.environments import Environment

HERE = Path(__file__).resolve().parent
DJANGO_5 = "django==5.2.6"
DJANGO_4 = "django==4.2.27"

CONTRIB = (
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.sites",
    "django.contrib.staticfiles",
    "django_rollback",
)
COMMON_SETTINGS = """\
SITE_ID = 1
STATIC_URL = "/static/"
MEDIA_ROOT = BASE_DIR / "media"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
"""


@dataclass(frozen=True)
class Site:
    """A Django site: its environment, its apps, its settings, and folders of packages that become apps of its own."""

    environment: Environment
    apps: tuple[str, ...]
    settings: str = ""
    own_apps: dict[str, str] = field(default_factory=dict)
    """Folder in the project → folder inside the environment's site-packages."""

    def create(self, root: Path, database: Database, ways: Iterable[str] = DJANGOS_WAY) -> Project:
        """A project for this site at `root`."""
        project = Project(root, database=database, python=self.environment.python(), ways=ways)
        project.install_apps(self.apps, extra=COMMON_SETTINGS + self.settings)
        project.write({"explicit_migrate.py": (HERE / "explicit_migrate.py").read_text()})
        for name, source in self.own_apps.items():
            package, _, rest = source.partition("/")
            shutil.copytree(self.environment.folder_of(package) / rest, root / name, dirs_exist_ok=True)
        return project


def wagtail(version: str, django: str) -> Site:
    """What `wagtail start` makes, with every app that comes with wagtail and has migrations."""
    apps = (
        "home",
        "wagtail.contrib.forms",
        "wagtail.contrib.redirects",
        "wagtail.contrib.search_promotions",
        "wagtail.contrib.simple_translation",
        "wagtail.embeds",
        "wagtail.sites",
        "wagtail.users",
        "wagtail.snippets",
        "wagtail.documents",
        "wagtail.images",
        "wagtail.search",
        "wagtail.admin",
        "wagtail.locales",
        "wagtail",
        "modelcluster",
        "taggit",
    )
    settings = 'WAGTAIL_SITE_NAME = "test"\nWAGTAILADMIN_BASE_URL = "http://localhost"\n'
    environment = Environment(f"wagtail-{version}", (f"wagtail=={version}", django))
    return Site(environment, apps + CONTRIB, settings, {"home": "wagtail/project_template/home"})


OSCAR_APPS = (
    "django.contrib.flatpages",
    "oscar.config.Shop",
    "oscar.apps.analytics.apps.AnalyticsConfig",
    "oscar.apps.checkout.apps.CheckoutConfig",
    "oscar.apps.address.apps.AddressConfig",
    "oscar.apps.shipping.apps.ShippingConfig",
    "oscar.apps.catalogue.apps.CatalogueConfig",
    "oscar.apps.catalogue.reviews.apps.CatalogueReviewsConfig",
    "oscar.apps.communication.apps.CommunicationConfig",
    "oscar.apps.partner.apps.PartnerConfig",
    "oscar.apps.basket.apps.BasketConfig",
    "oscar.apps.payment.apps.PaymentConfig",
    "oscar.apps.offer.apps.OfferConfig",
    "oscar.apps.order.apps.OrderConfig",
    "oscar.apps.customer.apps.CustomerConfig",
    "oscar.apps.search.apps.SearchConfig",
    "oscar.apps.voucher.apps.VoucherConfig",
    "oscar.apps.wishlists.apps.WishlistsConfig",
    "oscar.apps.dashboard.apps.DashboardConfig",
    "oscar.apps.dashboard.reports.apps.ReportsDashboardConfig",
    "oscar.apps.dashboard.users.apps.UsersDashboardConfig",
    "oscar.apps.dashboard.orders.apps.OrdersDashboardConfig",
    "oscar.apps.dashboard.catalogue.apps.CatalogueDashboardConfig",
    "oscar.apps.dashboard.offers.apps.OffersDashboardConfig",
    "oscar.apps.dashboard.partners.apps.PartnersDashboardConfig",
    "oscar.apps.dashboard.pages.apps.PagesDashboardConfig",
    "oscar.apps.dashboard.ranges.apps.RangesDashboardConfig",
    "oscar.apps.dashboard.reviews.apps.ReviewsDashboardConfig",
    "oscar.apps.dashboard.vouchers.apps.VouchersDashboardConfig",
    "oscar.apps.dashboard.communications.apps.CommunicationsDashboardConfig",
    "oscar.apps.dashboard.shipping.apps.ShippingDashboardConfig",
    "widget_tweaks",
    "haystack",
    "treebeard",
    "sorl.thumbnail",
    "django_tables2",
)
OSCAR_SETTINGS = """\
from oscar.defaults import *

HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
"""


def oscar(version: str, django: str) -> Site:
    """A shop with oscar's own apps, none of them forked."""
    packages = (f"django-oscar=={version}", "sorl-thumbnail==12.10.0", "django-treebeard<4.8", "setuptools<81", django)
    return Site(Environment(f"oscar-{version}", packages), OSCAR_APPS + CONTRIB, OSCAR_SETTINGS)


ADDON_SETTINGS = """\
MIDDLEWARE += ["allauth.account.middleware.AccountMiddleware"]
ROOT_URLCONF = "urls"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "guardian.backends.ObjectPermissionBackend"]
"""


def addons(name: str, django: str, packages: tuple[str, ...], more_apps: tuple[str, ...] = ()) -> Site:
    """Many small packages side by side."""
    apps = (
        "allauth",
        "allauth.account",
        "allauth.socialaccount",
        "oauth2_provider",
        "django_celery_beat",
        "django_celery_results",
        "axes",
        "taggit",
        "filer",
        "easy_thumbnails",
        "mptt",
        "guardian",
        "post_office",
        "django_otp",
        "django_otp.plugins.otp_totp",
        "django_otp.plugins.otp_hotp",
        "django_otp.plugins.otp_static",
        "django_otp.plugins.otp_email",
        "waffle",
        "reversion",
        *more_apps,
    )
    return Site(Environment(f"addons-{name}", (*packages, django)), apps + CONTRIB, ADDON_SETTINGS)


WAGTAIL_NEW = wagtail("6.4.2", DJANGO_5)
WAGTAIL_OLD = wagtail("5.2.8", DJANGO_4)
OSCAR_NEW = oscar("4.0", DJANGO_5)
OSCAR_OLD = oscar("3.2.5", DJANGO_4)
ADDONS_NEW = addons(
    "new",
    DJANGO_5,
    (
        "django-allauth[mfa,socialaccount]==65.13.0",
        "django-oauth-toolkit==3.0.1",
        "django-celery-beat==2.8.1",
        "django-celery-results==2.6.0",
        "django-axes==7.1.0",
        "django-taggit==6.1.0",
        "django-filer==3.3.3",
        "easy-thumbnails==2.10",
        "django-guardian==3.2.0",
        "django-post-office==3.10.1",
        "django-otp==1.6.1",
        "django-waffle==5.0.0",
        "django-reversion==5.1.0",
        "django-mptt==0.17.0",
    ),
    ("allauth.mfa", "allauth.usersessions"),
)
ADDONS_OLD = addons(
    "old",
    DJANGO_4,
    (
        "django-allauth[socialaccount]==0.57.2",
        "django-oauth-toolkit==2.3.0",
        "django-celery-beat==2.5.0",
        "django-celery-results==2.5.1",
        "django-axes==6.1.1",
        "django-taggit==4.0.0",
        "django-filer==3.0.6",
        "easy-thumbnails==2.8.5",
        "django-guardian==2.4.0",
        "django-post-office==3.8.0",
        "django-otp==1.2.4",
        "django-waffle==4.0.0",
        "django-reversion==5.0.4",
        "django-mptt==0.14.0",
        "setuptools<81",
    ),
)

CMS_SETTINGS = """\
LANGUAGES = [("en", "English")]
LANGUAGE_CODE = "en"
CMS_CONFIRM_VERSION4 = True
CMS_TEMPLATES = [("page.html", "Page")]
X_FRAME_OPTIONS = "SAMEORIGIN"
ROOT_URLCONF = "urls"
"""


def cms(version: str, django: str, packages: tuple[str, ...], more_apps: tuple[str, ...]) -> Site:
    """django CMS with a text editor and a store for files."""
    apps = ("cms", "menus", "treebeard", "sekizai", "filer", "easy_thumbnails", "mptt", *more_apps)
    environment = Environment(f"cms-{version}", (f"django-cms=={version}", *packages, "setuptools<81", django))
    return Site(environment, apps + CONTRIB, CMS_SETTINGS)


CMS_OLD = cms(
    "3.11.10",
    DJANGO_4,
    ("djangocms-text-ckeditor==5.1.7", "django-filer==3.1.4", "django-mptt<0.17"),
    ("djangocms_text_ckeditor",),
)
CMS_NEW = cms(
    "5.0.3",
    DJANGO_5,
    (
        "djangocms-text==1.0.2",
        "djangocms-versioning==2.4.0",
        "django-filer==3.3.3",
        "django-treebeard<4.8",
        "django-mptt<0.18",
    ),
    ("djangocms_text", "djangocms_versioning"),
)

MORE_SETTINGS = """\
ROOT_URLCONF = "urls"
WAGTAIL_SITE_NAME = "test"
WAGTAILADMIN_BASE_URL = "http://localhost"
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
HELPDESK_TEAMS_MODE_ENABLED = False
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
PLANS_TAXATION_POLICY = "plans.taxation.eu.EUTaxationPolicy"
PLANS_CURRENCY = "EUR"
PLANS_INVOICE_ISSUER = {}
"""
FORUM = ("", "_conversation", "_feeds", "_moderation", "_search", "_tracking", "_member", "_permission")
# Read and loaded only, never migrated: packages with odd migrations.
MORE = Site(
    Environment(
        "more",
        (
            "wagtail==7.4.4",
            "wagtail-localize==1.14.5",
            "wagtailmedia==0.19.1",
            "wagtailmenus==4.2.0",
            "dj-stripe==2.11.0",
            "django-activity-stream==2.0.0",
            "django-auditlog==3.4.1",
            "django-cities-light==3.11",
            "django-constance==4.4.0",
            "django-helpdesk==2.6.1",
            "django-machina==1.3.1",
            "django-photologue==3.20",
            "django-plans==2.8.2",
            "django-push-notifications==3.3.0",
            "django-q2==1.11.1",
            "django-silk==5.6.0",
            "django-sitetree==1.18.1",
            "djangorestframework-api-key==3.1.0",
            "social-auth-app-django==8.0.0",
            DJANGO_5,
        ),
    ),
    (
        *(app for app in WAGTAIL_NEW.apps if app not in ("home", *CONTRIB)),
        "wagtail_localize",
        "wagtailmedia",
        "wagtailmenus",
        "djstripe",
        "actstream",
        "auditlog",
        "cities_light",
        "constance",
        "helpdesk",
        "machina",
        *(f"machina.apps.forum{part}" for part in FORUM),
        "machina.apps.forum_conversation.forum_attachments",
        "machina.apps.forum_conversation.forum_polls",
        "haystack",
        "mptt",
        "photologue",
        "sortedm2m",
        "plans",
        "push_notifications",
        "django_q",
        "silk",
        "sitetree",
        "rest_framework_api_key",
        "social_django",
        *CONTRIB,
    ),
    MORE_SETTINGS,
)
