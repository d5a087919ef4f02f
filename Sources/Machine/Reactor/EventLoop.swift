internal import CLinux
internal import Glibc
internal import Synchronization

/// Rings an event loop from any thread. Rings that come before the loop wakes are one ring.
public final class LoopBell: Sendable {
  let descriptor: Int32
  private let rung = Atomic<Bool>(false)

  public init() { descriptor = roost_eventfd() }
  deinit { _ = close(descriptor) }

  /// Wakes the loop.
  public func ring() {
    guard !rung.exchange(true, ordering: .sequentiallyConsistent) else { return }
    var one: UInt64 = 1
    _ = write(descriptor, &one, 8)
  }

  func silence() {
    var value: UInt64 = 0
    _ = read(descriptor, &value, 8)
    rung.store(false, ordering: .sequentiallyConsistent)
  }
}

/// Values for a loop from other threads, in order.
public final class Mailbox<Message: Sendable>: Sendable {
  public let bell = LoopBell()
  private let messages = Mutex<[Message]>([])

  public init() {}

  /// Gives a message to the loop; it is taken in the loop's next batch.
  public func post(_ message: Message) {
    messages.withLock { $0.append(message) }
    bell.ring()
  }

  /// Takes all messages; called by the loop.
  public func take() -> [Message] {
    messages.withLock { waiting in
      guard !waiting.isEmpty else { return [] }
      let taken = waiting
      waiting.removeAll(keepingCapacity: true)
      return taken
    }
  }
}

/// What a loop does with its events. All calls come on the loop's thread.
public protocol LoopOwner: AnyObject {
  /// A watched descriptor is ready; `data` is what it was watched with (never 0).
  func ready(_ data: UInt64, _ events: ReadyEvents)
  /// The bell rang.
  func rung()
  /// A timer fired.
  func fired(_ data: UInt64)
  /// All events of one wait were handled: the time to write what they made, and to recycle what they closed.
  func batchEnded()
}

/// What a descriptor is ready for.
public struct ReadyEvents: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let readable = ReadyEvents(rawValue: 0x001)
  public static let writable = ReadyEvents(rawValue: 0x004)
  /// The peer closed its sending side.
  public static let hangup = ReadyEvents(rawValue: 0x2000)
  /// Error or both sides closed; always reported.
  public static let failed = ReadyEvents(rawValue: 0x018)
  /// Only to be watched for: what is ready is reported when it becomes so and when it is watched anew, not as long as
  /// it is so (EPOLLET). Saves the kernel a second look at each descriptor.
  public static let edge = ReadyEvents(rawValue: 0x8000_0000)
}

/// One thread's epoll, timers and clock. Level-triggered, but for what is watched with `edge`. Touch it on its own thread only.
public final class EventLoop {
  private let poll: Int32
  private let bell: LoopBell
  public private(set) var timers: TimerWheel
  /// Monotonic nanoseconds, read once per batch.
  public private(set) var now: Int64
  private var running = true
  private var due: [UInt64] = []

  public init(bell: LoopBell) {
    self.bell = bell
    poll = roost_epoll_create()
    now = roost_now_ns()
    timers = TimerWheel(now: now)
    _ = roost_epoll_set(poll, Int32(ROOST_ADD), bell.descriptor, UInt32(ROOST_IN), 0)
  }

  deinit { _ = close(poll) }

  /// Watches a descriptor; `data` must not be 0. Closing the descriptor ends it.
  @discardableResult
  public func watch(_ descriptor: Int32, _ events: ReadyEvents, data: UInt64) -> Bool {
    roost_epoll_set(poll, Int32(ROOST_ADD), descriptor, events.rawValue, data) == 0
  }

  /// Changes what a watched descriptor is watched for.
  public func rewatch(_ descriptor: Int32, _ events: ReadyEvents, data: UInt64) {
    _ = roost_epoll_set(poll, Int32(ROOST_MOD), descriptor, events.rawValue, data)
  }

  public func unwatch(_ descriptor: Int32) {
    _ = roost_epoll_set(poll, Int32(ROOST_DEL), descriptor, 0, 0)
  }

  public func setTimer(at deadline: Int64, data: UInt64) -> TimerWheel.Token {
    timers.set(at: deadline, data: data)
  }

  public func cancel(_ token: inout TimerWheel.Token) { timers.cancel(&token) }

  /// The clock now, for measuring within a batch.
  public func clock() -> Int64 { roost_now_ns() }

  /// Runs until `stop`.
  public func run(_ owner: some LoopOwner) {
    let capacity = 256
    let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: capacity)
    defer { events.deallocate() }
    while running {
      let count = Int(epoll_wait(poll, events, Int32(capacity), timers.wait(now: roost_now_ns())))
      now = roost_now_ns()
      var index = 0
      while index < count {
        let data = roost_event_data(events + index)
        if data == 0 {
          bell.silence()
          owner.rung()
        } else {
          owner.ready(data, ReadyEvents(rawValue: roost_event_bits(events + index)))
        }
        index &+= 1
      }
      timers.advance(to: now, into: &due)
      if !due.isEmpty {
        let fired = due
        due.removeAll(keepingCapacity: true)
        for data in fired { owner.fired(data) }
      }
      owner.batchEnded()
    }
  }

  /// Ends `run` after this batch.
  public func stop() { running = false }
}
