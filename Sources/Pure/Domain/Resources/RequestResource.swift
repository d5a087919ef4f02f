/// What the gateway did with a recent request. Answer of `GET /v1/requests/{id}`.
public struct RequestResource: Sendable, Codable, Equatable {
  public var id: String
  /// 32 hex digits; the trace that the caller named, or one that began here.
  public var traceId: String
  /// The gateway's span in the trace, 16 hex digits.
  public var spanId: String
  /// When it arrived.
  public var arrivedAt: Timestamp
  /// How the node was found: `execute`, or by `header`, `host` or `path`; absent when the request was refused before.
  public var route: String?
  public var nodeId: NodeID?
  /// The instance that it was given to last.
  public var instanceId: InstanceID?
  /// HTTP status of the answer; 499 when the caller went away.
  public var status: Int
  /// From its arrival to its answer.
  public var durationSeconds: Double
  /// Until it was given to an instance, or to its end when it never was.
  public var queueSeconds: Double
  /// With the instance.
  public var upstreamSeconds: Double
  /// How often it was given to another instance, or to the same one again.
  public var retries: Int
  public var requestBytes: Int
  public var responseBytes: Int
  /// The gateway's event loop.
  public var loop: Int

  public init(
    id: String, traceId: String, spanId: String, arrivedAt: Timestamp, route: String? = nil,
    nodeId: NodeID? = nil, instanceId: InstanceID? = nil, status: Int, durationSeconds: Double,
    queueSeconds: Double, upstreamSeconds: Double, retries: Int = 0, requestBytes: Int = 0,
    responseBytes: Int = 0, loop: Int = 0
  ) {
    self.id = id
    self.traceId = traceId
    self.spanId = spanId
    self.arrivedAt = arrivedAt
    self.route = route
    self.nodeId = nodeId
    self.instanceId = instanceId
    self.status = status
    self.durationSeconds = durationSeconds
    self.queueSeconds = queueSeconds
    self.upstreamSeconds = upstreamSeconds
    self.retries = retries
    self.requestBytes = requestBytes
    self.responseBytes = responseBytes
    self.loop = loop
  }
}
