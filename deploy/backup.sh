#!/bin/sh
# Dumps the database that libpq's variables name (PGHOST, PGUSER, PGDATABASE, PGPASSFILE …) into FOLDER, and deletes dumps
# older than BACKUP_KEEP_DAYS (14): `deploy/backup.sh FOLDER`. `deploy/backup.sh FOLDER daily` goes on, with a dump at
# BACKUP_HOUR (3, UTC) of every day and one at the start when the last is older than a day.
#
# A dump is complete or absent: it is written beside its name, read once, and renamed. Old ones are deleted only after a
# new one is complete. `lockstep verify` on a restored copy shows that a dump is of use (docs/operations.md).
set -eu
umask 077

folder=${1:?usage: backup.sh FOLDER [daily]}
keep_days=${BACKUP_KEEP_DAYS:-14}
hour=${BACKUP_HOUR:-3}

# Of compose.yaml: a password in a file of its own, which libpq does not read.
if [ -n "${BACKUP_PASSWORD_FILE:-}" ]; then
    printf '*:*:*:*:%s\n' "$(cat "$BACKUP_PASSWORD_FILE")" >"$PGPASSFILE"
fi

# Every step by itself: within a condition a shell does not stop at the first that fails.
dump() {
    file=$folder/lockstep-$(date -u +%Y%m%dT%H%M%SZ).dump
    rm -f "$folder"/*.partial &&
        pg_dump --format=custom --no-owner --lock-wait-timeout=60s --file="$file.partial" &&
        pg_restore --list "$file.partial" >/dev/null &&
        sync "$file.partial" &&
        mv "$file.partial" "$file" &&
        find "$folder" -maxdepth 1 -name 'lockstep-*.dump' -mtime "+$keep_days" -delete &&
        echo "wrote $file"
}

if [ "${2:-}" != daily ]; then
    dump
    exit
fi

trap 'exit 0' TERM INT
while :; do
    # Another attempt in ten minutes when the database is away.
    wait_for=600
    if [ -n "$(find "$folder" -maxdepth 1 -name 'lockstep-*.dump' -mtime -1)" ] || dump; then
        # With a 1 in front: 08 alone is no number to a shell.
        now=$(($(date -u +1%H) * 3600 - 360000 + $(date -u +1%M) * 60 - 6000))
        wait_for=$(((hour * 3600 - now + 86400) % 86400 + 60))
    fi
    sleep "$wait_for" &
    wait $! || true
done
