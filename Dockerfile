# Two stages: the program is built where the tools are, and runs where nothing else is.
FROM rust:1.95-bookworm AS build
WORKDIR /argon
COPY . .
RUN cargo build --release --locked --package argon

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 argon && install --directory --owner argon /data
COPY --from=build /argon/target/release/argon /usr/local/bin/argon
USER argon
VOLUME /data
EXPOSE 27018
# Inside a container loopback reaches nobody; publish the port on the host's loopback only, as docker-compose.yml does.
ENV ARGON_LISTEN=0.0.0.0:27018 ARGON_DATA_DIR=/data ARGON_ALLOW_REMOTE=true
ENTRYPOINT ["argon"]
CMD ["serve"]
