#!/bin/sh
# Unpacks Debian's libraries for aarch64 into a folder, without installing them:
#   client/cpp/cmake/aarch64-sysroot.sh FOLDER
# apt has to know the architecture: dpkg --add-architecture arm64 && apt-get update
set -eu
folder=$1
mkdir -p "$folder/packages"
cd "$folder/packages"
wanted=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
  --no-replaces --no-enhances libgrpc++-dev:arm64 libprotobuf-dev:arm64 |
  grep -E '^[a-z0-9].*:arm64$' | sort -u)
# shellcheck disable=SC2086
apt-get download -qq $wanted
for package in *.deb; do dpkg -x "$package" ..; done
rm -r "$folder/packages"
