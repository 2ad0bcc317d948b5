#!/bin/sh
# Creates the two files with secrets that compose.yaml reads, once: `sudo deploy/secrets.sh [FOLDER]`.
#
# lockstep.toml belongs to the user of the shop's container (10001), and nobody else can read it; therefore root runs
# this. postgres-password is read by root in its container. Existing files are left alone: PostgreSQL keeps the
# password of its first start, and LOCKSTEP_KEY_SECRET opens the keys that it sealed.
set -eu
umask 077

folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

if [ ! -e "$folder/postgres-password" ]; then
    random >"$folder/postgres-password"
fi

if [ ! -e "$folder/lockstep.toml" ]; then
    cat >"$folder/lockstep.toml.new" <<TOML
# Settings of the shop. \`lockstep settings\` prints all there are; docs/configuration.md explains them.
public_url = "http://127.0.0.1:8080"
database_url = "postgres://lockstep:$(cat "$folder/postgres-password")@postgres/lockstep"
jwt_secret = "$(random)"
jwt_refresh_secret = "$(random)"
lockstep_key_secret = "$(random)"

# Until these are set, the shop buys from the built-in sandbox, no money moves, and e-mails are files. In production
# public_url is the address of the reverse proxy, https://…
# lockstep_env = "production"
# g2a_api_url = "https://api.g2a.com/v1"
# g2a_api_hash = ""
# g2a_api_email = ""
# g2a_api_secret = ""
# stripe_secret_key = ""
# stripe_webhook_secret = ""
# mollie_api_key = ""
# smtp_url = "smtps://user:password@mail.example:465"
# lockstep_mail_from = "Shop <shop@shop.example>"
TOML
    if [ "$(id -u)" = 0 ]; then
        chown 10001:10001 "$folder/lockstep.toml.new"
    else
        echo "not root: give $folder/lockstep.toml to the user 10001 before you start the containers" >&2
    fi
    mv "$folder/lockstep.toml.new" "$folder/lockstep.toml"
    echo "wrote $folder/lockstep.toml and $folder/postgres-password"
fi
