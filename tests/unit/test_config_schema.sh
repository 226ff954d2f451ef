#!/bin/sh
# schemas/ode-cluster.xsd is what the table of settings says.
set -eu
if ! ./src/config/gen --xsd | diff -u "${srcdir:-.}/schemas/ode-cluster.xsd" -; then
    echo "the table of settings has changed: make update-schema" >&2
    exit 1
fi
echo "the schema is up to date"
