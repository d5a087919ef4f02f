/// What is done with a copy of a request.
public enum OnCopy: Equatable, Sendable {
  /// It is sent now.
  case send
  /// It waits for one that is being sent.
  case wait
  case drop
}

/// How many copies a candidate gets at once, and how many bytes of them in a second. Pure: time comes in.
///
/// The bucket of bytes holds one second's worth; a copy that is larger than that passes when the bucket is full.
public struct MirrorBudget: Sendable, Equatable {
  private let mostAtOnce: Int
  private let bytesPerSecond: Int
  private let mostWaiting: Int
  public private(set) var running = 0
  public private(set) var waiting = 0
  /// Bytes left at `at`.
  private var left: Double
  private var at: Duration

  public init(mostAtOnce: Int, bytesPerSecond: Int, now: Duration) {
    self.mostAtOnce = mostAtOnce
    self.bytesPerSecond = bytesPerSecond
    // A burst of as many as could be sent four times over; what comes later is of more interest than what waited long.
    mostWaiting = mostAtOnce * 4
    left = Double(bytesPerSecond)
    at = now
  }

  /// A copy has come.
  public mutating func came(bytes: Int, now: Duration) -> OnCopy {
    fill(now)
    guard left >= Double(min(bytes, bytesPerSecond)) else { return .drop }
    guard running < mostAtOnce || waiting < mostWaiting else { return .drop }
    left -= Double(bytes)
    guard running < mostAtOnce else {
      waiting += 1
      return .wait
    }
    running += 1
    return .send
  }

  /// A copy was sent, and answered or not. True: one that waited takes its place.
  public mutating func ended() -> Bool {
    guard waiting > 0 else {
      running -= 1
      return false
    }
    waiting -= 1
    return true
  }

  private mutating func fill(_ now: Duration) {
    guard now > at else { return }
    let seconds = (now - at) / .seconds(1)
    left = min(left + seconds * Double(bytesPerSecond), Double(bytesPerSecond))
    at = now
  }
}
