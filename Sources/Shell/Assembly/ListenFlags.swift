internal import Domain
internal import Gateway
internal import TLS
internal import Wire

/// From what the user asked for to the gateway's listeners. Errors name the flag.
enum ListenFlags {
  static func listeners(
    _ configuration: ServeConfiguration
  ) throws(PlatformError) -> [GatewayConfiguration.Listener] {
    var sources: [String: NetworkPeers] = [:]
    for entry in configuration.proxyProtocol {
      guard let equals = entry.lastIndex(of: "=") else {
        throw .invalid(
          "--proxy-protocol",
          "--proxy-protocol: '\(entry)' is not LISTENER=PEERS, like 0.0.0.0:8800=10.0.0.0/8,fd00::/8")
      }
      let name = String(entry[..<equals])
      guard (configuration.listen + configuration.tlsListen).contains(name) else {
        throw .invalid(
          "--proxy-protocol", "--proxy-protocol: '\(name)' is none of the listeners; write it as in --listen")
      }
      sources[name] = try peers(String(entry[entry.index(after: equals)...]), "--proxy-protocol")
    }
    var result: [GatewayConfiguration.Listener] = []
    for (flag, isTLS, list) in [
      ("--listen", false, configuration.listen), ("--tls-listen", true, configuration.tlsListen),
    ] {
      for text in list {
        result.append(
          .init(
            try place(text, flag, configuration.socketMode), isTLS: isTLS, proxySources: sources[text]))
      }
    }
    return result
  }

  static func tls(_ configuration: ServeConfiguration) throws(PlatformError) -> TLSContext? {
    guard !configuration.tlsListen.isEmpty else { return nil }
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
