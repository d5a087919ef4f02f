internal import CLinux
internal import Glibc
public import Reactor
public import TLS
public import Wire

/// The server side of HTTP/1.1 and HTTP/2 for one loop: accepts, reads requests, writes answers.
///
/// One `recv` per readiness into a buffer that the loop shares; a request that came whole is parsed in place and costs no
/// memory of its connection. Answers gather until the end of the batch and leave in one `send`.
public final class HTTPServer {
  /// Kinds in the top byte of what the loop watches; owners use kinds from 16 on.
  public enum Kind {
    public static let listener: UInt64 = 1
    public static let connection: UInt64 = 2
  }

  /// How long clients may be slow.
  public struct Limits: Sendable {
    public var headSeconds = 20
    public var bodyIdleSeconds = 30
    public var keepAliveSeconds = 75
    public var writeIdleSeconds = 30
    /// How long a client that has its whole answer may go on with its request, if it does not pause for 2 seconds: many write all
    /// of it before they read, and would take the end of the connection for a failure.
    public var overdueSeconds = 30
    /// Connections are accepted while the process' next descriptor would be below this: the rest of its open files is for
    /// other things.
    public var firstReservedDescriptor = Int32.max
    /// Bytes of request bodies that may be in memory at a time (`heldBytes`); a body that would be more is refused with 429,
    /// one of at most `modestBody` bytes when it would be twice as much.
    public var heldBytes = Int.max
    public init() {}
  }

  /// Bytes of a body that is collected from anybody.
  public static let modestBody = 65_536

  /// How long a client that has its answer may be silent, nanoseconds.
  static let lingering: Int64 = 2_000_000_000

  let loop: EventLoop
  /// Set before the loop runs, and alive as long as this is.
  public unowned(unsafe) var owner: (any HTTPServerOwner)!
  public let limits: Limits
  var listeners: [HTTPListener]
  /// Whether any listener asks for the header of the PROXY protocol.
  public internal(set) var hasProxyListeners: Bool
  /// Whose word about the callers before them is taken.
  let trusted: NetworkPeers
  /// What new connections of listeners with TLS use; replacing it leaves open connections as they are.
  public var tlsContext: TLSContext?
  private(set) var connections: [HTTPConnection] = []
  private var free: [Int] = []
  var recycled: [Int] = []
  var dirty: [Unmanaged<HTTPConnection>] = []
  private var changed: [Unmanaged<HTTPConnection>] = []
  var resumable: [HTTPConnection] = []
  /// `drain` or `leave` was called.
  public internal(set) var isDraining = false
  /// `leave` was called, and its time is not over: nothing that goes on need end yet.
  public internal(set) var isLeaving = false
  /// Ciphertext on its way from a socket; made with the first connection that needs it.
  var cipher: UnsafeMutablePointer<UInt8>?
  let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: 65536)
  let fields = UnsafeMutablePointer<HTTP1Field>.allocate(capacity: HTTP1Head.maximumFields)
  /// Whose head the table of fields holds.
  var fieldsKey = UInt64.max
  let library = HTTP2Library()
  var streams: [HTTP2Stream] = []
  /// The same, to look at without counting.
  var heldStreams: [Unmanaged<HTTP2Stream>] = []
  var freeStreams: [Int] = []
  var recycledStreams: [Int] = []
  /// What streams of HTTP/2 got beyond their first windows.
  var widened = StreamWindow.Budget()
  /// What was seen of HTTP/2.
  public internal(set) var http2 = HTTP2Counts()
  /// What was seen of the PROXY protocol.
  public internal(set) var proxyHeaders = ProxyHeaderCounts()
  /// What was seen of want of open files.
  public internal(set) var scarcity = ScarcityCounts()
  /// Where the search for idle connections goes on.
  var scarcityCursor = 0
  var dateSecond: Int64 = -1
  var date: [UInt8] = []
  /// Bytes of bodies in memory: requests in collection, and what the owner adds of requests and answers that it keeps.
  public var heldBytes = 0
  /// Connections open now.
  public private(set) var openCount = 0
  /// Connections accepted so far.
  public private(set) var acceptedCount = 0

  /// Serves listening sockets, which it owns from now on.
  public init(
    loop: EventLoop, listeners: [HTTPListener], tlsContext: TLSContext? = nil, limits: Limits = Limits(),
    trusted: NetworkPeers = NetworkPeers(), owner: (any HTTPServerOwner)? = nil
  ) {
    self.loop = loop
    self.listeners = listeners
    hasProxyListeners = listeners.contains { $0.proxySources != nil }
    self.tlsContext = tlsContext
    self.limits = limits
    self.trusted = trusted
    self.owner = owner
    fields.initialize(repeating: HTTP1Field(), count: HTTP1Head.maximumFields)
    for (index, listener) in listeners.enumerated() {
      loop.watch(listener.descriptor, .readable, data: Kind.listener << 56 | UInt64(index))
    }
  }

  deinit {
    for connection in connections {
      if connection.descriptor >= 0 { _ = Glibc.close(connection.descriptor) }
      connection.input.free()
      connection.output.free()
      connection.collected.free()
      connection.wire.free()
    }
    for stream in streams { stream.free() }
    for listener in listeners { _ = Glibc.close(listener.descriptor) }
    cipher?.deallocate()
    scratch.deallocate()
    fields.deallocate()
  }

  /// The exchange of a key, unless it ended since.
  public func exchange(_ key: UInt64) -> HTTPExchange? { held(key)?.takeUnretainedValue() }

  /// The same, not counted: the slab holds it as long as this server is.
  public func held(_ key: UInt64) -> Unmanaged<HTTPExchange>? {
    Int(key & 0xffff_ffff) & HTTP2Stream.slotMark == 0 ? heldConnection(key) : heldStream(key)
  }

  var openConnections: [HTTPConnection] { connections.filter { $0.state != .closed } }

  func connection(_ key: UInt64) -> HTTPConnection? {
    heldConnection(key).map { http1($0.takeUnretainedValue()) }
  }

  private func heldConnection(_ key: UInt64) -> Unmanaged<HTTPExchange>? {
    let slot = Int(key & 0xffff_ffff)
    guard slot < connections.count else { return nil }
    let connection = connections[slot]
    return connection.key == key && connection.state != .closed ? Unmanaged.passUnretained(connection) : nil
  }

  // MARK: Events

  /// A listener or a connection is ready.
  public func ready(_ data: UInt64, _ events: ReadyEvents) {
    if data >> 56 == Kind.listener {
      let index = Int(data & 0xff)
      guard index < listeners.count else { return }
      return accept(index, most: listeners[index].isShared ? 1 : 64)
    }
    guard let connection = connection(data & 0xff_ffff_ffff_ffff) else { return }
    if events.contains(.writable) { flush(connection) }
    guard connection.state != .closed else { return }
    if events.contains(.failed)
      || (events.contains(.hangup) && connection.state == .owned && connection.incoming != .raw)
    {
      return disconnect(connection)
    }
    if events.contains(.readable) || events.contains(.hangup) { read(connection) }
  }

  /// A connection's timer fired.
  public func fired(_ data: UInt64) {
    if data >> 56 == Kind.listener {
      return lookForRoom(Int(data & 0xff))
    }
    guard let connection = connection(data & 0xff_ffff_ffff_ffff) else { return }
    connection.timer = .none
    if let session = connection.session { return fired(connection, session) }
    guard loop.now >= connection.deadline else { return arm(connection) }
    switch connection.state {
    case .proxyHeader: refuseProxyHeader(connection)
    case .owned where !connection.isBlocked:
      if connection.incoming == .counted || connection.incoming == .chunked, !connection.isPaused {
        owner.stalled(connection)
      }
    case .head where connection.input.isEmpty && connection.output.isEmpty: close(connection)
    case .head, .body, .chunked:
      guard connection.output.isEmpty else { return disconnect(connection) }
      refuse(connection, 408, "the request did not arrive in time")
    default: disconnect(connection)
    }
  }

  /// Whether `batchEnded` has something to do.
  public var hasWork: Bool { !dirty.isEmpty || !resumable.isEmpty }

  /// Writes what the batch made, goes on with pipelined requests, and recycles what closed.
  public func batchEnded() {
    while !resumable.isEmpty || !dirty.isEmpty {
      let waiting = resumable
      resumable.removeAll(keepingCapacity: true)
      for connection in waiting where connection.state == .head || connection.isReceiving {
        goOn(connection)
      }
      swap(&dirty, &changed)
      for held in changed {
        held._withUnsafeGuaranteedRef { connection in
          connection.isDirty = false
          if connection.state != .closed { flush(connection) }
        }
      }
      changed.removeAll(keepingCapacity: true)
    }
    free.append(contentsOf: recycled)
    recycled.removeAll(keepingCapacity: true)
    freeStreams.append(contentsOf: recycledStreams)
    recycledStreams.removeAll(keepingCapacity: true)
  }

  private func accept(_ index: Int, most: Int = 64) {
    guard index < listeners.count else { return }
    let listener = listeners[index]
    for _ in 0..<most {
      let slot = free.popLast() ?? connections.count
      if slot == connections.count { connections.append(HTTPConnection(slot: slot)) }
      let connection = connections[slot]
      let descriptor = roost_accept(listener.descriptor, &connection.address)
      guard descriptor >= 0 else {
        let code = roost_errno()
        free.append(slot)
        if roost_is_shortage(code) != 0 { pauseAccepting(index) }
        return
      }
      var one: Int32 = 1
      _ = setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
      connection.descriptor = descriptor
      connection.generation &+= 1
      connection.state = .head
      connection.scanned = 0
      connection.requests = 0
      connection.closesAfterAnswer = false
      connection.lingers = false
      connection.mayFinish = false
      connection.isBlocked = false
      connection.endsWrites = false
      connection.incoming = .nothing
      connection.skips = 0
      connection.isStreamed = false
      connection.isPaused = false
      connection.isFull = false
      connection.hasBegun = false
      connection.watched = [.readable, .hangup]
      connection.isTLS = listener.isTLS
      connection.tls = listener.isTLS ? tlsContext.flatMap { TLSEngine($0) } : nil
      // Without a context there is nothing to say to the client that it would understand.
      if listener.isTLS && connection.tls == nil || !admit(connection, listener) {
        connection.state = .closed
        connection.tls = nil
        _ = Glibc.close(descriptor)
        connection.descriptor = -1
        recycled.append(slot)
        continue
      }
      openCount += 1
      acceptedCount += 1
      loop.watch(descriptor, connection.watched, data: Kind.connection << 56 | connection.key)
      expect(connection, seconds: limits.headSeconds)
      if descriptor >= limits.firstReservedDescriptor { return pauseAccepting(index) }
    }
  }

  func expect(_ connection: HTTPConnection, seconds: Int) {
    connection.deadline = loop.now + Int64(seconds) * 1_000_000_000
    if connection.timer == .none { arm(connection) }
  }

  /// As `expect`, for a deadline that may be nearer than the timer.
  func hurry(_ connection: HTTPConnection, seconds: Int) {
    connection.deadline = min(connection.deadline, loop.now + Int64(seconds) * 1_000_000_000)
    loop.cancel(&connection.timer)
    arm(connection)
  }

  /// The timer is set once and looks at the deadline when it fires: requests only move the deadline.
  func arm(_ connection: HTTPConnection) {
    connection.timer = loop.setTimer(
      at: connection.deadline, data: Kind.connection << 56 | connection.key)
  }

  func watch(_ connection: HTTPConnection, _ events: ReadyEvents) {
    guard connection.watched != events else { return }
    connection.watched = events
    loop.rewatch(connection.descriptor, events, data: Kind.connection << 56 | connection.key)
  }

  /// What is of interest while the owner has the request.
  func watchOwned(_ connection: HTTPConnection) {
    var events: ReadyEvents = connection.incoming == .raw && connection.isPaused ? [] : .hangup
    if connection.isReceiving, connection.input.count < 131072 {
      events.insert(.readable)
    } else if connection.incoming == .nothing, !connection.isBlocked, connection.input.count <= 131072 {
      events.insert(.readable)
    }
    if connection.isBlocked { events.insert(.writable) }
    watch(connection, events)
  }

  // MARK: Ends

  func refuse(_ connection: HTTPConnection, _ status: Int, _ message: String) {
    connection.lingers = true
    connection.mayFinish = status == 413
    connection.closesAfterAnswer = true
    connection.state = .owned
    connection.incoming = .nothing
    connection.collected.clear()
    count(connection)
    owner.refused(connection, status: status, message: message)
  }

  func flush(_ connection: HTTPConnection) {
    if let session = connection.session {
      flush(connection, session)
    } else if write(connection) {
      flushed(connection)
    }
  }

  /// Gives the socket what waits; false when it does not take everything, or is broken.
  func write(_ connection: HTTPConnection) -> Bool {
    if let tls = connection.tls { return write(connection, tls) }
    while let base = connection.output.base, !connection.output.isEmpty {
      let sent = roost_send(connection.descriptor, base, connection.output.count)
      if sent < 0 {
        let code = roost_errno()
        if code == EINTR { continue }
        guard blocked(connection, code) else { return false }
        break
      }
      connection.output.drop(sent)
    }
    return connection.output.isEmpty || connection.isFull
  }

  /// The socket did not take bytes; false when that is because it is broken.
  func blocked(_ connection: HTTPConnection, _ code: Int32) -> Bool {
    guard roost_would_block(code) != 0 else {
      disconnect(connection)
      return false
    }
    // While a client does not read its answers, it is not asked for more requests.
    connection.isBlocked = true
    switch connection.state {
    case .owned: watchOwned(connection)
    case .http2: watchBlocked(connection)
    default: watch(connection, [.writable])
    }
    connection.deadline = loop.now + Int64(limits.writeIdleSeconds) * 1_000_000_000
    if connection.timer == .none { arm(connection) }
    return true
  }

  private func flushed(_ connection: HTTPConnection) {
    if connection.isFull, connection.output.count <= HTTPExchange.lowWater {
      connection.isFull = false
      if connection.state == .owned { owner.writable(connection) }
      guard connection.state != .closed else { return }
    }
    guard connection.output.isEmpty else { return }
    if connection.state == .head, !connection.input.isEmpty { resumable.append(connection) }
    if connection.isBlocked {
      connection.isBlocked = false
      connection.state == .owned ? watchOwned(connection) : watch(connection, [.readable, .hangup])
    }
    if connection.endsWrites {
      guard connection.incoming == .raw else { return close(connection) }
      shutdown(connection.descriptor, Int32(SHUT_WR))
    }
    if connection.state == .lingering {
      guard connection.lingers || isDraining else { return close(connection) }
      connection.input.clear()
      shutdown(connection.descriptor, Int32(SHUT_WR))
      watch(connection, [.readable])
      connection.overdueAt = loop.now
      linger(connection)
      loop.cancel(&connection.timer)
      arm(connection)
    }
  }

  /// The client has its answer and still sends, or just did: how long that may go on.
  func linger(_ connection: HTTPConnection) {
    let whole = connection.mayFinish ? Int64(limits.overdueSeconds) * 1_000_000_000 : Self.lingering
    connection.deadline = min(loop.now + Self.lingering, connection.overdueAt + whole)
  }

  // MARK: Closing

  func disconnect(_ connection: HTTPConnection) {
    let wasOwned = connection.state == .owned
    close(connection)
    if wasOwned { owner.abandoned(connection) }
  }

  func close(_ connection: HTTPConnection) {
    guard connection.state != .closed else { return }
    connection.state = .closed
    loop.cancel(&connection.timer)
    if let tls = connection.tls { part(connection, tls) }
    _ = Glibc.close(connection.descriptor)
    connection.descriptor = -1
    connection.input.free()
    connection.output.free()
    connection.collected.free()
    openCount -= 1
    count(connection)
    recycled.append(connection.slot)
    if let session = connection.session {
      connection.session = nil
      session.close()
    }
  }

  /// Takes what has already been queued for accepting, stops listening, and closes idle connections; those with a
  /// request close after its answer.
  public func drain() {
    guard !isDraining else { return }
    for index in listeners.indices { accept(index) }
    isDraining = true
    for connection in connections { connection.session?.drain() }
    for listener in listeners { _ = Glibc.close(listener.descriptor) }
    listeners = []
    for connection in connections where connection.state == .proxyHeader { close(connection) }
    for connection in connections where connection.state == .head && connection.output.isEmpty {
      // A request may lie in the socket already: it is read and answered first.
      read(connection)
      if connection.state == .head, connection.input.isEmpty, connection.output.isEmpty { close(connection) }
    }
  }
}
