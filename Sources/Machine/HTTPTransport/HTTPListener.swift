public import Wire

/// A listening socket.
public struct HTTPListener: Sendable {
  public var descriptor: Int32
  public var isTLS: Bool
  /// Other loops accept from the same socket: one connection at a time, so that each gets its part.
  public var isShared: Bool
  /// Who must send the header of the PROXY protocol first; connections of others are closed. Nil: nobody does.
  public var proxySources: NetworkPeers?

  public init(
    _ descriptor: Int32, isTLS: Bool = false, isShared: Bool = false, proxySources: NetworkPeers? = nil
  ) {
    self.descriptor = descriptor
    self.isTLS = isTLS
    self.isShared = isShared
    self.proxySources = proxySources
  }
}
