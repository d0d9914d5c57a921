# The image of nave: hub, agent and command line are one program.
#
#     docker build -t nave:0.1.0 .
#
# Both base images are arguments, for those who keep copies of them.
ARG GO_IMAGE=golang:1.26
ARG BASE_IMAGE=debian:trixie-slim

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /nave ./cmd/nave

FROM ${BASE_IMAGE}
# git fetches, by ssh where a repository is reached so. ssh wants its user to have a name.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 65532 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin nave
COPY --from=build /nave /usr/local/bin/nave
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/nave"]
