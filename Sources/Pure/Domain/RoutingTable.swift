/// All that the gateway knows: an immutable value that the control plane replaces whole.
///
/// A table with an older generation than the one in use is refused, never merged.
public struct RoutingTable: Sendable, Codable, Equatable {
  public var generation: UInt64
  public var nodes: [RoutedNode]
  public var aliases: [RoutedAlias]
  /// What each principal may do, by folder.
  public var grants: [RoutedGrant]
  /// Token ids (`jti`) that were revoked and have not yet expired.
  public var revokedTokens: [String]

  public init(
    generation: UInt64 = 0, nodes: [RoutedNode] = [], aliases: [RoutedAlias] = [],
    grants: [RoutedGrant] = [], revokedTokens: [String] = []
  ) {
    self.generation = generation
    self.nodes = nodes
    self.aliases = aliases
    self.grants = grants
    self.revokedTokens = revokedTokens
  }
}

/// A principal that may call the nodes of a folder (role `datasphere.user` or higher).
public struct RoutedGrant: Sendable, Codable, Equatable {
  public var subject: String
  public var folderID: FolderID
  /// May say which node of an alias a request is for (role developer or higher).
  public var mayChoose: Bool

  public init(subject: String, folderID: FolderID, mayChoose: Bool = false) {
    self.subject = subject
    self.folderID = folderID
    self.mayChoose = mayChoose
  }
}

/// An alias as the gateway sees it.
public struct RoutedAlias: Sendable, Codable, Equatable {
  public var id: AliasID
  public var name: String
  public var generation: Int
  /// The folder that owns the alias: the caller's role is checked there, unless it is public.
  public var folderID: FolderID
  public var spec: AliasSpec
  /// Of a sticky alias: for each of a hundred slots the share, as an index; else empty.
  public var slots: [Int]
  /// Set when requests wait instead of being sent to nodes.
  public var hold: RoutedHold?
  /// Which of its requests are copied, for a mirror or a recording; nil: none.
  public var copying: RoutedCopying?

  public init(
    id: AliasID, name: String, generation: Int, folderID: FolderID, spec: AliasSpec, slots: [Int] = [],
    hold: RoutedHold? = nil, copying: RoutedCopying? = nil
  ) {
    self.id = id
    self.name = name
    self.generation = generation
    self.folderID = folderID
    self.spec = spec
    self.slots = slots
    self.hold = hold
    self.copying = copying
  }
}

/// How the requests of an alias wait.
public struct RoutedHold: Sendable, Codable, Equatable {
  /// When it ends. The gateway ends it by itself, also when nobody sends it another table.
  public var endsAt: Timestamp
  /// The whole length in milliseconds: it is not exceeded when the wall clock is set back.
  public var durationMilliseconds: UInt32
  /// Most requests that wait at once, over all loops.
  public var limit: Int
  /// Longest wait of one request, in milliseconds.
  public var waitMilliseconds: UInt32
  /// What refused callers are told; may be empty.
  public var reason: String

  public init(
    endsAt: Timestamp, durationMilliseconds: UInt32, limit: Int, waitMilliseconds: UInt32, reason: String
  ) {
    self.endsAt = endsAt
    self.durationMilliseconds = durationMilliseconds
    self.limit = limit
    self.waitMilliseconds = waitMilliseconds
    self.reason = reason
  }
}

/// A node as the gateway sees it.
public struct RoutedNode: Sendable, Codable, Equatable {
  public var id: NodeID
  public var name: String
  public var release: Int
  /// The folder that owns the node: the caller's role is checked there.
  public var folderID: FolderID
  /// Folder ids that a request may name.
  public var acl: [FolderID]
  /// Set when the node takes no requests (suspended, deleting, no healthy instance): what to tell callers.
  public var refusal: String?
  /// Longest time for one request from its arrival to the end of its answer, in milliseconds; 0: no such limit.
  public var timeoutMilliseconds: UInt32
  /// Requests that may wait when every instance is busy.
  public var queueLimit: Int
  /// Longest wait in the queue, in milliseconds.
  public var queueAgeMilliseconds: UInt32
  /// How requests are proxied; instances of protocol `frames` don't look at it.
  public var proxying: RoutedProxying
  /// Most requests of all callers together; nil: no limit.
  public var rateLimit: RateLimit?
  /// Most requests of one caller (the token's subject); nil: no limit.
  public var callerRateLimit: RateLimit?
  /// Instances in rotation.
  public var instances: [RoutedInstance]
  /// Variables of a cell, of which its typed service is made; no outputs: the node is no cell.
  public var inputs: [Variable]
  public var outputs: [Variable]
  /// What its instances serve by the Open Inference Protocol; left out: it is no node of models.
  public var models: [RoutedModel]?

  public init(
    id: NodeID, name: String, release: Int, folderID: FolderID, acl: [FolderID], refusal: String? = nil,
    timeoutMilliseconds: UInt32 = 15000, queueLimit: Int = 1000, queueAgeMilliseconds: UInt32 = 15000,
    proxying: RoutedProxying = RoutedProxying(), rateLimit: RateLimit? = nil,
    callerRateLimit: RateLimit? = nil, instances: [RoutedInstance] = [], inputs: [Variable] = [],
    outputs: [Variable] = [], models: [RoutedModel]? = nil
  ) {
    self.id = id
    self.name = name
    self.release = release
    self.folderID = folderID
    self.acl = acl
    self.refusal = refusal
    self.timeoutMilliseconds = timeoutMilliseconds
    self.queueLimit = queueLimit
    self.queueAgeMilliseconds = queueAgeMilliseconds
    self.proxying = proxying
    self.rateLimit = rateLimit
    self.callerRateLimit = callerRateLimit
    self.instances = instances
    self.inputs = inputs
    self.outputs = outputs
    self.models = models
  }
}

/// A saved model that a node serves.
public struct RoutedModel: Sendable, Codable, Equatable {
  public var id: String
  public var name: String
  public var inputs: [ModelTensor]
  public var outputs: [ModelTensor]
  /// Left out: 1.
  public var version: Int?

  public init(
    id: String, name: String, inputs: [ModelTensor], outputs: [ModelTensor], version: Int? = nil
  ) {
    self.version = version
    self.id = id
    self.name = name
    self.inputs = inputs
    self.outputs = outputs
  }

  public init(_ model: PlacedModel) {
    self.init(
      id: model.id.text, name: model.name, inputs: model.facts.inputs, outputs: model.facts.outputs,
      version: model.version)
  }
}

/// What a node wants of the proxy in front of its `http1` and `http2` endpoints. Times in milliseconds.
public struct RoutedProxying: Sendable, Codable, Equatable {
  /// From the start of an attempt to connect to its end.
  public var connectTimeoutMilliseconds: UInt32
  /// From the last byte of the request to the head of its answer, or of the request's arrival while it waits in the queue.
  public var firstByteTimeoutMilliseconds: UInt32
  /// Longest silence in both directions of a request, a stream or an upgraded connection.
  public var idleTimeoutMilliseconds: UInt32
  /// `authorization` and the routing headers are passed on to the instance.
  public var passCredentials: Bool
  /// An instance gets its full part of the requests only this long after `healthySince`; 0: at once.
  public var slowStartMilliseconds: UInt32

  public init(
    connectTimeoutMilliseconds: UInt32 = 5000, firstByteTimeoutMilliseconds: UInt32 = 15000,
    idleTimeoutMilliseconds: UInt32 = 300_000, passCredentials: Bool = false,
    slowStartMilliseconds: UInt32 = 0
  ) {
    self.connectTimeoutMilliseconds = connectTimeoutMilliseconds
    self.firstByteTimeoutMilliseconds = firstByteTimeoutMilliseconds
    self.idleTimeoutMilliseconds = idleTimeoutMilliseconds
    self.passCredentials = passCredentials
    self.slowStartMilliseconds = slowStartMilliseconds
  }
}

/// An instance in rotation.
public struct RoutedInstance: Sendable, Codable, Equatable {
  public var id: InstanceID
  public var endpoint: Endpoint
  /// Where gRPC goes that is spoken on another port; nil: to `endpoint`.
  public var callEndpoint: Endpoint?
  /// Process id outside the sandbox: cancelled requests are followed by SIGUSR1 to it. 0 when unknown.
  public var pid: Int32
  /// Most requests outstanding at once while each takes long; cells: 1. `pipelineLimit` is used for code measured to be fast.
  public var limit: Int
  public var pipelineLimit: Int
  /// Where it runs; requests prefer instances of the gateway's own zone. Empty: unknown.
  public var zone: String
  /// When it last entered rotation (wall clock), for the slow start; nil: long ago.
  public var healthySince: Timestamp?

  public init(
    id: InstanceID, endpoint: Endpoint, pid: Int32 = 0, limit: Int = 1, pipelineLimit: Int = 8,
    zone: String = "", healthySince: Timestamp? = nil, callEndpoint: Endpoint? = nil
  ) {
    self.callEndpoint = callEndpoint
    self.id = id
    self.endpoint = endpoint
    self.pid = pid
    self.limit = limit
    self.pipelineLimit = pipelineLimit
    self.zone = zone
    self.healthySince = healthySince
  }
}

/// Where an instance answers and in which protocol.
public struct Endpoint: Sendable, Codable, Hashable {
  /// `frames`: the worker protocol of `docs/formats/worker-protocol.md`.
  public enum WireProtocol: String, Sendable, Codable { case http1, http2, frames }
  /// `unix:/absolute/path` or `host:port`; the host is an IP literal, IPv6 in brackets. A path may be longer than a socket address holds (108 bytes): the one
  /// who connects opens the folder and goes through `/proc/self/fd`.
  public var address: String
  public var wireProtocol: WireProtocol
  /// With TLS, and only with whom a certificate for this name or IP literal belongs to; nil: without TLS.
  public var serverName: String?

  public init(address: String, wireProtocol: WireProtocol, serverName: String? = nil) {
    self.address = address
    self.wireProtocol = wireProtocol
    self.serverName = serverName
  }

  /// As users write it: with `https://` where TLS is spoken.
  public var text: String {
    serverName == nil ? address : "https://\(address)"
  }
}

/// What the gateway tells the control plane about an instance or a node. A hint to look, never a fact to store.
public enum GatewayObservation: Sendable, Equatable {
  /// Its socket refused or closed while it was in rotation.
  case unreachable(InstanceID, reason: String)
  /// A request waits, and the node has no instance in rotation.
  case waiting(NodeID)
  /// It did not answer within the request's timeout plus one second of grace: kill it.
  case hung(InstanceID, requestID: String)
}
