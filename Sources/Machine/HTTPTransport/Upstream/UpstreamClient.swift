internal import CLinux
internal import Glibc
public import Reactor
internal import Wire

/// The client side of HTTP for one loop: connections to instances, kept and used again.
///
/// What is sent leaves at the end of the batch in one `send`; an answer is read with one `recv` per readiness into a buffer
/// that the loop shares, and its parts are given on from there without a copy.
public final class UpstreamClient {
  /// Kinds in the top byte of what the loop watches.
  public enum Kind {
    public static let connection: UInt64 = 8
    public static let session: UInt64 = 9
  }

  /// How connections are kept.
  public struct Limits: Sendable {
    /// Idle connections of one target: room for all that a burst needs at once, as a connection opened for each of its
    /// requests costs more than the request.
    public var idleCount = 1024
    /// Of these, how many stay for `idleSeconds`; the others close `spareSeconds` after their last request.
    public var keptCount = 64
    public var spareSeconds = 5
    /// Seconds; a shorter time that the instance states in `Keep-Alive` wins.
    public var idleSeconds = 55
    /// Connections are made while the process' next descriptor is below this: the rest of its open files is for other things.
    public var firstReservedDescriptor = Int32.max
    public init() {}
  }

  let loop: EventLoop
  /// Set before the loop runs, and alive as long as this is.
  public unowned(unsafe) var owner: (any UpstreamOwner)!
  let limits: Limits
  private var connections: [UpstreamConnection] = []
  private var free: [Int] = []
  private var recycled: [Int] = []
  private var dirty: [Unmanaged<UpstreamConnection>] = []
  /// Takes turns with `dirty`, so that a batch costs no memory.
  private var changed: [Unmanaged<UpstreamConnection>] = []
  var sessions: [UpstreamSession?] = []
  var freeSessions: [Int] = []
  var sessionSerial: UInt32 = 0
  var dirtySessions: [UpstreamSession] = []
  var streams: [UpstreamStream] = []
  var freeStreams: [Int] = []
  var recycledStreams: [Int] = []
  /// What streams got beyond their first windows.
  var widened = StreamWindow.Budget()
  lazy var library = UpstreamLibrary()
  let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: UpstreamClient.readSize)
  let fields = UnsafeMutablePointer<HTTP1Field>.allocate(capacity: HTTP1Head.maximumFields)
  static let readSize = 65536
  /// Unsent bytes beyond which `send` asks the owner to pause, and below which `upstreamWritable` is called.
  static let highWater = 256 << 10
  static let lowWater = 64 << 10
  /// Connections beyond `keptCount` that one `sweep` closes, so that it doesn't hold up requests.
  private static let sweepCount = 256

  public init(loop: EventLoop, limits: Limits = Limits(), owner: (any UpstreamOwner)? = nil) {
    self.loop = loop
    self.limits = limits
    self.owner = owner
    fields.initialize(repeating: HTTP1Field(), count: HTTP1Head.maximumFields)
  }

  deinit {
    for connection in connections {
      if connection.descriptor >= 0 { _ = Glibc.close(connection.descriptor) }
      connection.input.free()
      connection.output.free()
      connection.trailers.free()
      // What is kept there is not counted, and gone now.
      connection.target.idle.removeAll()
    }
    for case let session? in sessions { session.part() }
    for stream in streams { stream.free() }
    scratch.deallocate()
    fields.deallocate()
  }

  // MARK: Requests

  /// Starts a request on an idle connection of the target, or on a new one.
  ///
  /// `head` is the request line and the header lines, each with CR LF, without the empty line and without what frames the
  /// body. `fresh` asks for a new connection: a kept one failed. `unique` says that the request must not be sent twice: a
  /// kept connection is looked at first, lest it closed a moment ago.
  public func start(
    _ target: UpstreamTarget, head: UnsafePointer<UInt8>, count: Int, body: UpstreamBody, tag: UInt64,
    fresh: Bool = false, unique: Bool = false
  ) throws(UpstreamFailure) -> UpstreamExchange {
    if target.isHTTP2 { return try start2(target, head: head, count: count, body: body, tag: tag) }
    let used: UpstreamConnection
    if !fresh, let kept = takeIdle(target, unique: unique) { used = kept } else { used = try connect(target) }
    used.ownerTag = tag
    used.sent = 0
    used.requestEnded = body == .none
    used.isFull = false
    used.sendsChunks = body == .unknown
    used.isHEAD = count > 5 && memcmp(head, "HEAD ", 5) == 0
    used.writeError = 0
    used.scanned = 0
    used.output.append(head, count)
    switch body {
    case .none, .webSocket: used.output.append("\r\n")
    case .counted(let size):
      used.output.append("content-length: ")
      used.output.append(decimal: size)
      used.output.append("\r\n\r\n")
    case .unknown: used.output.append("transfer-encoding: chunked\r\n\r\n")
    }
    soil(used)
    return used
  }

  /// Takes a connection out of the target's pool that still stands, as far as it is looked at.
  private func takeIdle(_ target: UpstreamTarget, unique: Bool) -> UpstreamConnection? {
    while let kept = target.idle.popLast()?.takeUnretainedValue() {
      guard unique, loop.now - kept.idleSince > 1_000_000, roost_is_quiet(kept.descriptor) == 0 else {
        kept.state = .waiting
        return kept
      }
      close(kept)
    }
    return nil
  }

  /// Adds bytes to the request's body. False: much waits already; the owner pauses its source until `upstreamWritable`.
  @discardableResult
  public func send(_ exchange: UpstreamExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    if exchange.isHTTP2 { return send2(http2(exchange), bytes, count) }
    let connection = http1(exchange)
    guard count > 0, !connection.writesFailed, connection.state != .closed else { return true }
    if connection.sendsChunks, connection.state != .raw {
      connection.output.append(hexadecimal: count)
      connection.output.append("\r\n")
      connection.output.append(bytes, count)
      connection.output.append("\r\n")
    } else {
      connection.output.append(bytes, count)
    }
    soil(connection)
    if connection.output.count > Self.highWater { connection.isFull = true }
    return !connection.isFull
  }

  /// The request is complete. `trailers` are lines that end with CR LF; dropped where the framing has none. After a 101:
  /// closes this side.
  public func end(
    _ exchange: UpstreamExchange,
    trailers: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: nil, count: 0)
  ) {
    if exchange.isHTTP2 { return end2(http2(exchange), trailers) }
    let connection = http1(exchange)
    guard !connection.requestEnded, connection.state != .closed else { return }
    connection.requestEnded = true
    if connection.state == .raw {
      if connection.peerClosed, connection.output.isEmpty { return close(connection) }
    } else if connection.sendsChunks, !connection.writesFailed {
      connection.output.append("0\r\n")
      if let lines = trailers.baseAddress { connection.output.append(lines, trailers.count) }
      connection.output.append("\r\n")
    }
    soil(connection)
  }

  /// Stops giving parts of the answer.
  public func pause(_ exchange: UpstreamExchange) {
    exchange.isPaused = true
    guard !exchange.isHTTP2 else { return }
    watch(http1(exchange))
  }

  /// Goes on giving parts of the answer.
  public func resume(_ exchange: UpstreamExchange) {
    guard exchange.isPaused else { return }
    exchange.isPaused = false
    if exchange.isHTTP2 {
      let stream = http2(exchange)
      stream.session?.enqueue(stream)
      return
    }
    watch(http1(exchange))
    if http1(exchange).holdsPlaintext { soil(http1(exchange)) }
  }

  /// Gives up: nobody wants the answer any more. The exchange is not the owner's after this.
  public func cancel(_ exchange: UpstreamExchange) {
    exchange.isHTTP2 ? cancel2(http2(exchange)) : close(http1(exchange))
  }

  /// Ends this side and forgets the exchange: what was given to `send` still leaves, what the instance may say is dropped.
  /// Only of an accepted `webSocket`. The exchange is not the owner's after this.
  public func part(_ exchange: UpstreamExchange) { part2(http2(exchange)) }

  // MARK: Connections

  private func connect(_ target: UpstreamTarget) throws(UpstreamFailure) -> UpstreamConnection {
    let descriptor = dial(target)
    guard descriptor >= 0 else {
      throw UpstreamFailure(.connect, code: -descriptor, nothingSent: true)
    }
    let slot = free.popLast() ?? connections.count
    if slot == connections.count { connections.append(UpstreamConnection(slot: slot, target: target)) }
    let connection = connections[slot]
    connection.target = target
    connection.descriptor = descriptor
    connection.generation &+= 1
    connection.isConnected = target.connectsAtOnce
    connection.state = connection.isConnected ? .waiting : .connecting
    connection.served = 0
    connection.isPaused = false
    connection.peerClosed = false
    connection.isWatched = false
    connection.holdsPlaintext = false
    target.openCount += 1
    watch(connection)
    return connection
  }

  /// A socket that connects to a target; -errno.
  func dial(_ target: UpstreamTarget) -> Int32 {
    let descriptor = target.dial()
    guard descriptor >= limits.firstReservedDescriptor else { return descriptor }
    _ = Glibc.close(descriptor)
    return -EMFILE
  }

  /// Takes a target out of use: its idle connections close now, the others after their requests.
  public func retire(_ target: UpstreamTarget) {
    target.isRetired = true
    while let connection = target.idle.last { close(connection.takeUnretainedValue()) }
    for session in target.sessions {
      session.isLeaving = true
      soil(session)
    }
  }

  /// Closes connections that were idle for too long; to be called about once a second.
  public func sweep() {
    let spare = loop.now - Int64(limits.spareSeconds) * 1_000_000_000
    var surplus = Self.sweepCount
    for connection in connections where connection.state == .idle {
      if connection.idleUntil <= loop.now {
        close(connection)
      } else if connection.idleSince <= spare, connection.target.idle.count > limits.keptCount, surplus > 0 {
        surplus -= 1
        close(connection)
      }
    }
    if !sessions.isEmpty { sweepSessions() }
  }

  /// A connection is ready.
  public func ready(_ data: UInt64, _ events: ReadyEvents) {
    if data >> 56 == Kind.session { return sessionReady(data, events) }
    let key = data & 0xff_ffff_ffff_ffff
    let slot = Int(key & 0xffff_ffff)
    guard slot < connections.count, connections[slot].key == key, connections[slot].state != .closed else {
      return
    }
    // Held by the slab, and so not counted.
    Unmanaged.passUnretained(connections[slot])._withUnsafeGuaranteedRef { ready($0, key, events) }
  }

  private func ready(_ connection: UpstreamConnection, _ key: UInt64, _ events: ReadyEvents) {
    if connection.state == .connecting {
      if connection.cipher == nil {
        let code = roost_socket_error(connection.descriptor)
        guard code == 0 else {
          return fail(connection, UpstreamFailure(.connect, code: code, nothingSent: true))
        }
        guard events.contains(.writable) else { return }
      }
      guard shake(connection) else { return }
      connection.state = .waiting
      connection.isConnected = true
      owner.upstreamConnected(connection)
      guard connection.key == key, connection.state != .closed else { return }
      return flush(connection)
    }
    if events.contains(.writable) {
      flush(connection)
      guard connection.key == key, connection.state != .closed else { return }
    }
    guard !events.intersection([.readable, .hangup, .failed]).isEmpty, !connection.isPaused else { return }
    let isWhole = read(connection)
    // The end may lie behind what was read.
    guard !isWhole || !events.isDisjoint(with: [.hangup, .failed]) else { return }
    guard connection.key == key, connection.state != .closed, connection.isWatched,
      connection.watched.isSuperset(of: [.readable, .edge])
    else { return }
    loop.rewatch(connection.descriptor, connection.watched, data: Kind.connection << 56 | key)
  }

  /// Whether `flush` has something to do.
  public var hasWork: Bool { !dirty.isEmpty || !dirtySessions.isEmpty }

  /// Writes what the batch made, and recycles what closed.
  public func flush() {
    while hasWork {
      if !dirtySessions.isEmpty { flushSessions() }
      swap(&dirty, &changed)
      for held in changed {
        held._withUnsafeGuaranteedRef { connection in
          connection.isDirty = false
          if connection.state != .closed, connection.state != .connecting { flush(connection) }
        }
      }
      changed.removeAll(keepingCapacity: true)
    }
    while let slot = recycled.popLast() { free.append(slot) }
    while let slot = recycledStreams.popLast() { freeStreams.append(slot) }
  }

  func soil(_ connection: UpstreamConnection) {
    guard !connection.isDirty else { return }
    connection.isDirty = true
    dirty.append(Unmanaged.passUnretained(connection))
  }

  private func flush(_ connection: UpstreamConnection) {
    if let cipher = connection.cipher, !prepare(connection, cipher) { return }
    while let base = connection.output.base, !connection.output.isEmpty {
      let sent = transmit(connection.descriptor, connection.cipher, base, connection.output.count)
      if sent < 0 {
        let code = Int32(-sent)
        if code == EINTR { continue }
        if roost_would_block(code) != 0 { break }
        // The instance may have answered before it stopped reading: what it wrote is read first.
        connection.writeError = code
        connection.output.clear()
        break
      }
      connection.sent += sent
      connection.output.drop(sent)
    }
    if connection.isFull, connection.output.count <= Self.lowWater {
      let key = connection.key
      connection.isFull = false
      owner.upstreamWritable(connection)
      guard connection.key == key, connection.state != .closed else { return }
    }
    if connection.state == .raw, connection.requestEnded, connection.output.isEmpty {
      guard !connection.peerClosed else { return close(connection) }
      if let cipher = connection.cipher { cipher.part(connection.descriptor) }
      shutdown(connection.descriptor, Int32(SHUT_WR))
    }
    watch(connection)
  }

  /// Watches what is of interest. A paused connection is not watched at all: an end that nobody reads would ring for ever.
  func watch(_ connection: UpstreamConnection) {
    guard connection.descriptor >= 0 else { return }
    var events: ReadyEvents = []
    if connection.state == .connecting {
      if let cipher = connection.cipher {
        events = cipher.wantsToWrite ? [.readable, .hangup, .writable] : [.readable, .hangup]
      } else {
        events = .writable
      }
    } else {
      if !connection.isPaused, !connection.peerClosed { events = [.readable, .hangup] }
      if !connection.output.isEmpty || connection.cipher?.wantsToWrite ?? false { events.insert(.writable) }
      // What TLS holds back is not the kernel's to report.
      if connection.cipher == nil, !events.isEmpty { events.insert(.edge) }
    }
    let data = Kind.connection << 56 | connection.key
    if events.isEmpty {
      if connection.isWatched { loop.unwatch(connection.descriptor) }
      connection.isWatched = false
    } else if !connection.isWatched {
      loop.watch(connection.descriptor, events, data: data)
      connection.isWatched = true
    } else if connection.watched != events {
      loop.rewatch(connection.descriptor, events, data: data)
    }
    connection.watched = events
  }

  // MARK: Ends

  func fail(_ connection: UpstreamConnection, _ failure: UpstreamFailure) {
    close(connection)
    owner.upstreamFailed(connection, failure)
  }

  /// The connection is done with a request: keeps it for the next one if that is safe.
  func release(_ connection: UpstreamConnection, clean: Bool) {
    let target = connection.target
    connection.served += 1
    guard clean, connection.head.keepsAlive, connection.requestEnded, connection.output.isEmpty,
      !connection.writesFailed, !target.isRetired, target.idle.count < limits.idleCount
    else { return close(connection) }
    connection.state = .idle
    connection.isPaused = false
    connection.idleSince = loop.now
    connection.input.clear()
    connection.trailers.clear()
    target.idle.append(Unmanaged.passUnretained(connection))
    watch(connection)
  }

  func close(_ connection: UpstreamConnection) {
    guard connection.state != .closed else { return }
    if connection.state == .idle {
      let kept = Unmanaged.passUnretained(connection).toOpaque()
      if let place = connection.target.idle.lastIndex(where: { $0.toOpaque() == kept }) {
        connection.target.idle.remove(at: place)
      }
    }
    connection.state = .closed
    if let cipher = connection.cipher { cipher.part(connection.descriptor) }
    connection.cipher = nil
    _ = Glibc.close(connection.descriptor)
    connection.descriptor = -1
    connection.isWatched = false
    connection.target.openCount -= 1
    connection.input.free()
    connection.output.free()
    connection.trailers.free()
    recycled.append(connection.slot)
  }

  func http1(_ exchange: UpstreamExchange) -> UpstreamConnection {
    unsafeDowncast(exchange, to: UpstreamConnection.self)
  }
}
