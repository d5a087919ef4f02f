public import Domain
public import TLS
public import Wire

/// What a gateway is given.
public struct GatewayConfiguration: Sendable {
  /// Where it listens.
  public var listeners: [Listener]
  /// Sockets that were opened for this process: those that fit a listener take its place, instead of a new one.
  public var inherited: [InheritedSocket]
  /// The certificates of the listeners with TLS.
  public var tls: TLSContext?
  /// The authorities of instances that are reached with TLS; nil: such instances can't be reached.
  public var upstreamTLS: TLSContext?
  /// Whose `x-forwarded-*` and `forwarded` headers are kept and added to; those of others are replaced.
  public var trustedProxies: NetworkPeers
  /// `NAME.ALIASDOMAIN` as a request's host names an alias; empty: no host does. In lower case.
  public var aliasDomain: String
  /// Where this gateway is: requests prefer instances of the same zone. Empty: unknown.
  public var zone: String
  /// Event loops, one thread each; 0: one per core.
  public var loops: Int
  /// Bytes of an execute request's body.
  public var requestLimit: Int
  /// Bytes of an execute answer's outputs.
  public var responseLimit: Int
  /// Bytes of any other request's body.
  public var bodyLimit: Int
  /// The folder of the access log, a JSON line per request; nil: none.
  public var accessLogFolder: String?
  public var logLimits: LogLimits
  /// How long a client may take nothing of its answer before it is let go, seconds.
  public var writeIdleSeconds: Int
  /// Bytes of request bodies that may be in memory at a time: in collection, and waiting for an instance.
  public var heldBytes: Int
  /// The same of each loop, where its part would be less: a few bodies of the longest.
  public var leastHeldBytes: Int
  /// What of the process' open files is for connections.
  public var openFiles: OpenFileShares
  /// Where the spans of recorded traces go; nil: nowhere.
  public var spans: SpanTarget?

  /// One place to listen on.
  public struct Listener: Sendable {
    public enum Place: Sendable, Equatable {
      /// A numeric address such as `127.0.0.1`, `0.0.0.0`, `::1`; port 0: any free one, see `GatewayServer.addresses`.
      case tcp(host: String, port: UInt16)
      /// A socket's absolute path, and the permissions of its file. A file that nobody listens on is replaced.
      case unix(path: String, mode: UInt32)
    }

    public var place: Place
    /// What the socket is called when another process gets it, and which inherited socket is this one's, beside that of its place.
    public var name: String
    public var isTLS: Bool
    /// Who must begin each connection with the header of the PROXY protocol, version 2; others are turned away. Nil: nobody.
    public var proxySources: NetworkPeers?

    public init(
      _ place: Place, name: String = "", isTLS: Bool = false, proxySources: NetworkPeers? = nil
    ) {
      self.place = place
      self.name = name
      self.isTLS = isTLS
      self.proxySources = proxySources
    }
  }

  public init(
    listeners: [Listener] = [Listener(.tcp(host: "127.0.0.1", port: 0))], inherited: [InheritedSocket] = [],
    tls: TLSContext? = nil,
    upstreamTLS: TLSContext? = nil,
    trustedProxies: NetworkPeers = NetworkPeers(), aliasDomain: String = "", zone: String = "",
    loops: Int = 0,
    requestLimit: Int = 16 << 20,
    responseLimit: Int = 16 << 20, bodyLimit: Int = (16 << 20) + (64 << 10), accessLogFolder: String? = nil,
    logLimits: LogLimits = LogLimits(), writeIdleSeconds: Int = 30, heldBytes: Int = 1 << 30,
    leastHeldBytes: Int = 64 << 20,
    openFiles: OpenFileShares = .unbounded,
    spans: SpanTarget? = nil
  ) {
    self.listeners = listeners
    self.inherited = inherited
    self.tls = tls
    self.upstreamTLS = upstreamTLS
    self.trustedProxies = trustedProxies
    self.aliasDomain = aliasDomain.lowercased()
    self.zone = zone
    self.loops = loops
    self.requestLimit = requestLimit
    self.responseLimit = responseLimit
    self.bodyLimit = bodyLimit
    self.accessLogFolder = accessLogFolder
    self.logLimits = logLimits
    self.writeIdleSeconds = writeIdleSeconds
    self.heldBytes = heldBytes
    self.leastHeldBytes = leastHeldBytes
    self.openFiles = openFiles
    self.spans = spans
  }
}
