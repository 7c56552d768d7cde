#!/bin/sh
# Installs the browser for the tests of the site from Debian packages.
set -eu
command -v chromium >/dev/null && command -v chromedriver >/dev/null && exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "chromium and chromedriver are missing; install them, or the site's tests are skipped" >&2
    exit 0
fi
apt-get update --quiet=2
apt-get install --quiet=2 --yes --no-install-recommends chromium chromium-driver >/dev/null
