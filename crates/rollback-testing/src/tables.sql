-- The tables as Django's migrations make them on SQLite, and `django_migrations` beside them.
-- tests/test_tables.py compares this file with what the migrations make.
CREATE TABLE "django_migrations" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "app" varchar(255) NOT NULL, "name" varchar(255) NOT NULL, "applied" datetime NOT NULL);
CREATE TABLE "django_rollback_appsstate" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "migrations" text NOT NULL, "timestamp" datetime NOT NULL, "commit" varchar(64) NOT NULL UNIQUE, "tags" text NULL, "applied_set" varchar(64) NULL, "schema" varchar(64) NULL, "final_schema" varchar(64) NULL, "manifest" varchar(64) NULL, "key_id" varchar(64) NULL, "signature" varchar(64) NULL);
CREATE TABLE "django_rollback_appliedset" ("hash" varchar(64) NOT NULL PRIMARY KEY, "size" integer NOT NULL, "body" text NOT NULL);
CREATE TABLE "django_rollback_capsule" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "app" varchar(255) NOT NULL, "name" varchar(255) NOT NULL, "digest" varchar(64) NOT NULL UNIQUE, "format" integer NOT NULL, "body" text NOT NULL, "at" datetime NOT NULL, "key_id" varchar(64) NULL, "signature" varchar(64) NULL);
CREATE TABLE "django_rollback_operation" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "kind" varchar(32) NOT NULL, "outcome" varchar(32) NOT NULL, "body" text NOT NULL, "at" datetime NOT NULL);
CREATE TABLE "django_rollback_lock" ("id" smallint unsigned NOT NULL PRIMARY KEY CHECK ("id" >= 0));
CREATE TABLE "django_rollback_schema" ("hash" varchar(64) NOT NULL PRIMARY KEY, "body" text NOT NULL);
CREATE TABLE "django_rollback_archive" ("hash" varchar(64) NOT NULL PRIMARY KEY, "body" text NOT NULL);
CREATE TABLE "django_rollback_identity" ("id" smallint unsigned NOT NULL PRIMARY KEY CHECK ("id" >= 0), "database" varchar(64) NOT NULL);
INSERT INTO django_rollback_lock (id) VALUES (1);
INSERT INTO django_migrations (app, name, applied) VALUES
    ('django_rollback', '0001_initial', '2026-01-01'),
    ('django_rollback', '0002_releases', '2026-01-01'),
    ('django_rollback', '0003_schemas', '2026-01-01'),
    ('django_rollback', '0004_capsules', '2026-01-01');
