internal import Domain

/// `roost serve`
enum Serve {
  static let command: Command = Command(
    "serve", "run the platform",
    purpose: "Runs the platform: one process, one port for the APIs. SIGTERM drains and stops it.",
    flags: [
      Flag(
        "data", .text, value: "DIR",
        "folder of all data (./data); the first start makes it and its admin.token"),
      Flag(
        "listen", .text, value: "HOST:PORT|unix:/PATH", "where to listen (127.0.0.1:8800)", repeatable: true),
      Flag("socket-mode", .text, value: "OCTAL", "permissions of the files of unix sockets (660)"),
      Flag(
        "tls-listen", .text, value: "HOST:PORT|unix:/PATH", "where to listen with TLS, beside --listen",
        repeatable: true),
      Flag(
        "tls-cert", .text, value: "FILE",
        "certificate chain for --tls-listen, PEM; of several the client's host name (SNI) chooses; SIGHUP reads them again",
        repeatable: true),
      Flag(
        "tls-key", .text, value: "FILE", "its private key, PEM; in the order of the certificates",
        repeatable: true),
      Flag("tls-client-ca", .text, value: "FILE", "ask clients for certificates of these authorities, PEM"),
      Flag(
        "proxy-protocol", .text, value: "LISTENER=PEERS",
        "connections to this listener begin with the PROXY protocol (version 2); others than these peers are turned away",
        repeatable: true),
      Flag(
        "trusted-proxies", .text, value: "PEERS",
        "whose X-Forwarded-* and Forwarded are kept: 10.0.0.0/8,fd00::/8,unix (nobody's)"),
      Flag(
        "endpoint", .text, value: "HOST[:PORT]",
        "what this server is called by clients; JWTs whose audience names another are refused then (any is taken)",
        repeatable: true),
      Flag(
        "alias-domain", .text, value: "DOMAIN",
        "requests for the host NAME.DOMAIN go to the alias NAME (none)"),
      Flag(
        "zone", .text, value: "NAME", "where this server is: requests prefer addresses of its zone (none)"),
      Flag(
        "upstream-ca", .text, value: "FILE", "authorities of https:// addresses, PEM (those of the system)"),
      Flag("python", .text, value: "PATH", "Python of cell nodes (found by itself)"),
      Flag(
        "engine", .text, value: "[ZONE=]PATH",
        "socket of the container engine of image nodes (that of DOCKER_HOST, else /var/run/docker.sock); several make as many zones",
        repeatable: true),
      Flag(
        "node-networks", .text, value: "ADDRESS/BITS",
        "where the networks of image nodes are taken from, 126 addresses each (10.213.0.0/16)"),
      Flag(
        "triton-image", .text, value: "IMAGE",
        "instances of new model nodes are containers of this image, which has tritonserver (processes of the server's own Triton)"
      ),
      Flag(
        "package-index", .text, value: "URL",
        "where environments take packages from (https://pypi.org/simple)"),
      Flag(
        "wheels", .text, value: "FOLDER", "environments may also take wheels from this folder",
        repeatable: true),
      Flag("environment-time", .duration, "longest time of the making of an environment (30m)"),
      Flag("environment-disk", .size, "most disk of one environment (20GiB)"),
      Flag("environment-memory", .size, "most memory of the making of one (4GiB)"),
      Flag("loops", .integer, value: "N", "event loops (found by itself)"),
      Flag("sandbox", .choice(["on", "off"]), "walls around instances (on)"),
      Flag("log-level", .choice(["debug", "info", "warn", "error"]), "least level that is logged (info)"),
      Flag("log-file-size", .size, "a node's log or the access log above this is put aside (64MiB)"),
      Flag("log-files", .integer, value: "N", "files of a log that were put aside and are kept (4)"),
      Flag("log-age", .duration, "how long files of a log that were put aside are kept (30d)"),
      Flag("folder-log-size", .size, "how much is kept of the logs of one folder's nodes together (10GiB)"),
      Flag("deleted-log-age", .duration, "how long logs of deleted nodes are kept (30d)"),
      Flag("deleted-log-size", .size, "how much is kept of the logs of deleted nodes together (1GiB)"),
      Flag("otlp-endpoint", .text, value: "URL", "collector of spans, OTLP over HTTP (none)"),
      Flag("otlp-ratio", .number, value: "N", "part of the traces begun here that is recorded, 0 to 1 (1)"),
    ],
    examples: [
      "roost serve --data ./data --listen 127.0.0.1:8800",
      "roost serve --tls-listen 0.0.0.0:8443 --tls-cert chain.pem --tls-key key.pem",
      "roost serve --listen unix:/run/roost/api.sock --trusted-proxies unix",
      "roost serve --listen 0.0.0.0:8800 --proxy-protocol 0.0.0.0:8800=10.0.0.0/8",
      "roost serve --engine a=/run/docker-a.sock --engine b=/run/docker-b.sock",
    ],
    run: { context in
      let parsed = context.parsed
      if let loops = parsed.integer("loops"), loops < 1 {
        throw CommandFailure.usage("--loops: \(loops) must be at least 1", Serve.command)
      }
      let tlsListen = parsed.texts("tls-listen")
      let chains = parsed.texts("tls-cert")
      let keys = parsed.texts("tls-key")
      // The service manager may have opened a socket for TLS.
      if tlsListen.isEmpty, context.surroundings.environment["LISTEN_FDS"] == nil {
        if let flag = ["tls-cert", "tls-key", "tls-client-ca"].first(where: { parsed.text($0) != nil }) {
          throw CommandFailure.usage("--\(flag): needs --tls-listen HOST:PORT", Serve.command)
        }
      } else {
        guard tlsListen.isEmpty || !chains.isEmpty && !keys.isEmpty else {
          throw CommandFailure.usage("--tls-listen: needs --tls-cert FILE and --tls-key FILE", Serve.command)
        }
        guard chains.count == keys.count else {
          throw CommandFailure.usage(
            "--tls-key: there are \(chains.count) certificates and \(keys.count) keys; give each --tls-cert its --tls-key",
            Serve.command)
        }
      }
      let mode = parsed.text("socket-mode") ?? "660"
      guard let socketMode = UInt32(mode, radix: 8), socketMode <= 0o777 else {
        throw CommandFailure.usage("--socket-mode: '\(mode)' is not 000 to 777, like 660", Serve.command)
      }
      for endpoint in parsed.texts("endpoint") {
        let parts = endpoint.split(separator: ":", omittingEmptySubsequences: false)
        let port = parts.count == 2 ? Int(parts[1]) ?? 0 : 443
        guard let host = parts.first, !host.isEmpty, !endpoint.contains("/"), parts.count <= 2,
          (1...65535).contains(port)
        else {
          throw CommandFailure.usage(
            "--endpoint: '\(endpoint)' is not HOST or HOST:PORT, like api.example.org", Serve.command)
        }
      }
      let listen = parsed.texts("listen")
      let options = ServeOptions(
        dataFolder: parsed.text("data") ?? "./data",
        listen: listen,
        python: parsed.text("python"), loops: parsed.integer("loops"),
        sandbox: parsed.text("sandbox") != "off",
        logLevel: parsed.text("log-level") ?? "info", tlsListen: tlsListen,
        certificates: zip(chains, keys).map { .init(chain: $0, key: $1) },
        clientAuthorities: parsed.text("tls-client-ca"), socketMode: socketMode,
        proxyProtocol: parsed.texts("proxy-protocol"), trustedProxies: parsed.text("trusted-proxies"),
        endpoints: parsed.texts("endpoint"),
        aliasDomain: parsed.text("alias-domain"), zone: parsed.text("zone"),
        upstreamAuthorities: parsed.text("upstream-ca"),
        otlpEndpoint: parsed.text("otlp-endpoint"), otlpRatio: parsed.number("otlp-ratio") ?? 1,
        logs: try logs(parsed), engines: try engines(parsed), nodeNetworks: try networks(parsed),
        tritonImage: try image(parsed),
        environments: try environments(parsed))
      throw ProgramEnd(code: await context.shell.serve(options))
    })
}

extension Serve {
  /// `[ZONE=]PATH`, the path also as Docker writes it.
  private static func engines(_ parsed: ParsedArguments) throws(CommandFailure) -> [EngineOption] {
    let texts = parsed.texts("engine")
    var result: [EngineOption] = []
    for text in texts {
      let engine = try engine(text)
      if texts.count > 1, !text.contains("=") {
        throw .usage("--engine: several engines need names; write ZONE=\(text)", command)
      }
      if let other = result.first(where: { $0.zone == engine.zone || $0.socket == engine.socket }) {
        let what = other.zone == engine.zone ? "zone \(engine.zone)" : engine.socket
        throw .usage("--engine: \(what) is given twice; each zone has an engine of its own", command)
      }
      result.append(engine)
    }
    return result
  }

  private static func engine(_ text: String) throws(CommandFailure) -> EngineOption {
    var zone = "local"
    var path = text
    if let sign = text.firstIndex(of: "="), !text.hasPrefix("/") {
      zone = String(text[..<sign])
      path = String(text[text.index(after: sign)...])
      let isName =
        (1...63).contains(zone.utf8.count)
        && zone.utf8.allSatisfy {
          (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d
        }
      guard isName else {
        throw .usage("--engine: '\(zone)' is no name of a zone: 1 to 63 of a-z, 0-9 and -", command)
      }
    }
    for prefix in ["unix://", "unix:"] where path.hasPrefix(prefix) {
      path = String(path.dropFirst(prefix.utf8.count))
    }
    guard path.hasPrefix("/") else {
      throw .usage(
        "--engine: '\(path)' is not an absolute path of a socket, like /var/run/docker.sock", command)
    }
    return EngineOption(zone: zone, socket: path)
  }

  private static func environments(_ parsed: ParsedArguments) throws(CommandFailure) -> EnvironmentOptions {
    var options = EnvironmentOptions()
    options.packageIndex = parsed.text("package-index")
    if let index = options.packageIndex, !index.hasPrefix("https://"), !index.hasPrefix("http://") {
      throw .usage("--package-index: '\(index)' is not an http:// or https:// address", command)
    }
    for folder in parsed.texts("wheels") {
      guard let path = LocalFile.resolved(folder) else {
        throw .usage("--wheels: there is no folder \(folder)", command)
      }
      options.wheels.append(path)
    }
    options.time = parsed.duration("environment-time") ?? options.time
    options.diskBytes = parsed.size("environment-disk") ?? options.diskBytes
    options.memoryBytes = parsed.size("environment-memory") ?? options.memoryBytes
    return options
  }

  private static func image(_ parsed: ParsedArguments) throws(CommandFailure) -> String? {
    guard let text = parsed.text("triton-image") else { return nil }
    do throws(PlatformError) { _ = try ImageReference(text, field: "--triton-image") } catch {
      throw .usage(error.message, command)
    }
    return text
  }

  private static func networks(_ parsed: ParsedArguments) throws(CommandFailure) -> String? {
    guard let text = parsed.text("node-networks") else { return nil }
    let sides = text.split(separator: "/", omittingEmptySubsequences: false)
    let parts = sides[0].split(separator: ".", omittingEmptySubsequences: false).compactMap { UInt8($0) }
    let base = parts.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard sides.count == 2, parts.count == 4, let bits = Int(sides[1]), (8...25).contains(bits),
      base & (UInt32.max >> UInt32(bits)) == 0
    else {
      throw .usage(
        "--node-networks: '\(text)' is not an IPv4 network of 8 to 25 bits, like 10.213.0.0/16", command)
    }
    return text
  }

  private static func logs(_ parsed: ParsedArguments) throws(CommandFailure) -> LogLimits {
    var limits = LogLimits()
    if let size = parsed.size("log-file-size") {
      guard size >= 1 << 12 else { throw .usage("--log-file-size: must be at least 4KiB", command) }
      limits.fileBytes = Int(size)
    }
    if let files = parsed.integer("log-files") {
      guard files >= 1 else { throw .usage("--log-files: \(files) must be at least 1", command) }
      limits.files = files
    }
    limits.age = parsed.duration("log-age") ?? limits.age
    limits.folderBytes = parsed.size("folder-log-size") ?? limits.folderBytes
    limits.deletedAge = parsed.duration("deleted-log-age") ?? limits.deletedAge
    limits.deletedBytes = parsed.size("deleted-log-size") ?? limits.deletedBytes
    return limits
  }
}

/// `roost doctor`
enum Doctor {
  static let command: Command = Command(
    "doctor", "what this machine can do and what is missing",
    purpose: "Looks at the machine: what instances can be given here, what is missing and how to get it.",
    flags: [Flag("python", .text, value: "PATH", "Python of cell nodes (found by itself)")],
    examples: ["roost doctor", "roost doctor -o json"],
    run: { context in
      let options = DoctorOptions(python: context.parsed.text("python"), json: context.format == .json)
      throw ProgramEnd(code: await context.shell.doctor(options))
    })
}
