internal import Domain
internal import Gateway
internal import TLS
internal import Wire

/// From what the user asked for to the gateway's listeners. Errors name the flag.
enum ListenFlags {
  /// The listeners of the flags, and one for each inherited socket that is none of theirs: with TLS when its name begins with
  /// `tls-listen`. With sockets of the service manager and without `--listen` nothing else is listened on.
  static func listeners(
    _ configuration: ServeConfiguration, inherited: [InheritedSocket] = []
  ) throws(PlatformError) -> [GatewayConfiguration.Listener] {
    var wanted = configuration.listen
    if wanted.isEmpty, inherited.isEmpty || inherited.contains(where: { $0.name == "listen.0" }) {
      wanted = ["127.0.0.1:8800"]
    }
    var sources: [String: NetworkPeers] = [:]
    for entry in configuration.proxyProtocol {
      guard let equals = entry.lastIndex(of: "=") else {
        throw .invalid(
          "--proxy-protocol",
          "--proxy-protocol: '\(entry)' is not LISTENER=PEERS, like 0.0.0.0:8800=10.0.0.0/8,fd00::/8")
      }
      let name = String(entry[..<equals])
      guard (wanted + configuration.tlsListen + inherited.map(\.address)).contains(name) else {
        throw .invalid(
          "--proxy-protocol", "--proxy-protocol: '\(name)' is none of the listeners; write it as in --listen")
      }
      sources[name] = try peers(String(entry[entry.index(after: equals)...]), "--proxy-protocol")
    }
    var result: [GatewayConfiguration.Listener] = []
    for (flag, isTLS, list) in [
      ("--listen", false, wanted), ("--tls-listen", true, configuration.tlsListen),
    ] {
      for (index, text) in list.enumerated() {
        result.append(
          .init(
            try place(text, flag, configuration.socketMode), name: "\(flag.dropFirst(2)).\(index)",
            isTLS: isTLS,
            proxySources: sources[text]))
      }
    }
    for socket in inherited where !result.contains(where: { socket.fits($0) }) {
      let isTLS = socket.name.hasPrefix("tls-listen")
      // Handed over under the name that it has here: beside those of the flags, which end with a number.
      let name = socket.isHandedOver ? socket.name : "\(isTLS ? "tls-listen" : "listen")@\(result.count)"
      result.append(
        .init(
          try place(socket.address, "LISTEN_FDS", configuration.socketMode), name: name, isTLS: isTLS,
          proxySources: sources[socket.address]))
    }
    return result
  }

  static func tls(
    _ configuration: ServeConfiguration, _ listeners: [GatewayConfiguration.Listener]
  ) throws(PlatformError) -> TLSContext? {
    guard listeners.contains(where: \.isTLS) else { return nil }
    guard !configuration.certificates.isEmpty else {
      throw .invalid("--tls-cert", "--tls-cert: a socket with TLS needs --tls-cert FILE and --tls-key FILE")
    }
    do throws(TLSError) {
      return try TLSContext(
        certificates: configuration.certificates.map { TLSCertificate(chain: $0.chain, key: $0.key) },
        clientAuthorities: configuration.clientAuthorities)
    } catch { throw .invalid("--tls-cert", "TLS: \(error.message)") }
  }

  static func upstreamTLS(_ configuration: ServeConfiguration) throws(PlatformError) -> TLSContext {
    do throws(TLSError) {
      return try TLSContext(trusting: configuration.upstreamAuthorities)
    } catch { throw .invalid("--upstream-ca", "--upstream-ca: \(error.message)") }
  }

  static func peers(_ list: String, _ flag: String) throws(PlatformError) -> NetworkPeers {
    guard !list.isEmpty else { return NetworkPeers() }
    do throws(NetworkPeers.BadEntry) {
      return try NetworkPeers(list: list)
    } catch {
      throw .invalid(
        flag,
        "\(flag): '\(error.text)' is no range of addresses such as 10.0.0.0/8 (with zeros behind its bits), 2001:db8::/32 or 192.0.2.7, and not the word unix"
      )
    }
  }

  static func text(_ addresses: [ListeningAddress]) -> String {
    addresses.map(\.description).joined(separator: ",")
  }

  /// `unix:/path` or `host:port`; names are refused, since what they mean may change.
  private static func place(
    _ text: String, _ flag: String, _ mode: UInt32
  ) throws(PlatformError) -> GatewayConfiguration.Listener.Place {
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst(5))
      guard path.hasPrefix("/") else {
        throw .invalid(flag, "\(flag): the path of '\(text)' must begin with /, like unix:/run/roost.sock")
      }
      return .unix(path: path, mode: mode)
    }
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
      throw .invalid(flag, "\(flag): '\(text)' is not HOST:PORT, like 127.0.0.1:8800, or unix:/PATH")
    }
    let host = String(text[..<colon])
    return .tcp(host: host == "localhost" ? "127.0.0.1" : host, port: port)
  }
}
