# syntax=docker/dockerfile:1
# The image of compose.yaml. `docker build -t lockstep .` builds it alone; it needs BuildKit, the default since Docker 23.

FROM rust:1.95.0-slim-bookworm AS build
# The toolchain of this image, whatever rust-toolchain.toml says: nothing is fetched.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
# The folders of cargo and of the compiler stay on the machine between builds; the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package lockstep \
    && cp target/release/lockstep /lockstep

FROM debian:bookworm-20260824-slim
# Certificates for the connections to G2A, Stripe and the mail server.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# A number, so that a volume or a secret on the host can be given to this user.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/lockstep --shell /usr/sbin/nologin lockstep \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/lockstep
COPY --from=build /lockstep /usr/local/bin/lockstep
COPY NOTICE /usr/share/doc/lockstep/NOTICE
USER 10001:10001
WORKDIR /var/lib/lockstep
ENV LOCKSTEP_BIND=0.0.0.0:8080 \
    LOCKSTEP_METRICS_BIND=0.0.0.0:9464 \
    LOCKSTEP_DATA_DIR=/var/lib/lockstep
# The spool of keys: a key that was paid for must survive the container.
VOLUME /var/lib/lockstep
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
# Whether the process answers, not whether its database does: a restart would not help against the latter.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["lockstep"]
CMD ["serve"]
