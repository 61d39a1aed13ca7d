# The operator's image: one static program, the authorities that it trusts, its licence. No shell, no package manager.
#
# Both base images are arguments, so that it can be built where another registry, or none, is reached. A release gives them with
# their digests: scripts/release refuses any other.
ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-bookworm
ARG RUNTIME_IMAGE=scratch

# Builds on the machine's own architecture for TARGETARCH: emulation would take an hour. For another architecture than its own the
# build image needs Rust's library for it and Debian's cross compiler (for arm64 gcc-aarch64-linux-gnu).
FROM --platform=${BUILDPLATFORM:-linux/amd64} ${BUILD_IMAGE} AS build
ARG TARGETARCH=amd64
# `release`, or a profile that takes less time.
ARG PROFILE=release
# `true`: every crate is at hand in the registry of the build image.
ARG CARGO_NET_OFFLINE=false
WORKDIR /source
# glibc is linked into the program: its resolver and its memory allocator are the ones that are tested.
ENV RUSTFLAGS="-C target-feature=+crt-static" CARGO_INCREMENTAL=0 \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
RUN case "$TARGETARCH" in \
      amd64) echo x86_64-unknown-linux-gnu ;; \
      arm64) echo aarch64-unknown-linux-gnu ;; \
      *) echo "TARGETARCH is $TARGETARCH: amd64 and arm64 are supported" >&2; exit 1 ;; \
    esac > /target
# The dependencies are a layer of their own, which changes with the manifests only.
COPY rust-toolchain.toml Cargo.toml Cargo.lock ./
COPY crates/telemetry/Cargo.toml crates/telemetry/
COPY crates/testbed/Cargo.toml crates/testbed/
COPY examples/exporter/Cargo.toml examples/exporter/
# Cargo wants to see every target that a manifest names.
RUN for target in src/main.rs benches/admission.rs benches/slo_rules.rs tests/it/main.rs tests/node/main.rs crates/telemetry/benches/overhead.rs \
      examples/exporter/src/main.rs examples/exporter/src/bin/trakt-sim.rs examples/exporter/tests/it/main.rs; \
    do mkdir -p "${target%/*}" && echo 'fn main() {}' > "$target"; done \
    && for crate in . crates/telemetry crates/testbed examples/exporter; do mkdir -p $crate/src && touch $crate/src/lib.rs; done \
    && cargo build --locked --profile "$PROFILE" --target "$(cat /target)" --bin telemetry-operator \
    && rm -r src crates/telemetry/src
COPY src src
COPY crates/telemetry/src crates/telemetry/src
COPY collector collector
COPY dashboards dashboards
# Cargo goes by the time of a file: the stubs above are newer than what was copied.
RUN find src crates/telemetry/src -exec touch {} + \
    && cargo build --locked --profile "$PROFILE" --target "$(cat /target)" --bin telemetry-operator \
    && mkdir -p /image/etc/ssl/certs \
    && cp "target/$(cat /target)/$PROFILE/telemetry-operator" /image/ \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/
COPY LICENSE /image/

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="telemetry-operator" \
      org.opencontainers.image.description="One TelemetryProfile per application; collector, Jaeger, scrape targets, SLO rules and dashboards follow" \
      org.opencontainers.image.source="https://github.com/telemetry-operator/telemetry-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/ /
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# A number: Kubernetes cannot tell of a name that it is not root.
USER 65532:65532
ENTRYPOINT ["/telemetry-operator"]
CMD ["run"]
