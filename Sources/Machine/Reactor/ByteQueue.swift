internal import Glibc

/// Bytes that come in at the end and go out at the front, in one block of memory that its loop owns.
///
/// Not copyable in spirit: it lives in one connection, which frees it. Grows by doubling, gives its memory back when empty.
public struct ByteQueue {
  public private(set) var memory: UnsafeMutablePointer<UInt8>?
  private var capacity = 0
  private var front = 0
  private var back = 0

  public init() {}

  public var count: Int { back - front }
  public var isEmpty: Bool { back == front }
  /// The first byte; valid until the next change.
  public var base: UnsafeMutablePointer<UInt8>? { memory.map { $0 + front } }

  /// All bytes; valid until the next change.
  public var bytes: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: count) }

  /// Room for `size` more bytes: write there, then call `wrote`.
  public mutating func room(_ size: Int) -> UnsafeMutablePointer<UInt8> {
    if let memory, capacity - back >= size { return memory + back }
    if let memory, front > 0, capacity - count >= size, front >= count {
      memcpy(memory, memory + front, count)
      back -= front
      front = 0
      return memory + back
    }
    var wanted = max(capacity, 4096)
    while wanted - count < size { wanted *= 2 }
    let fresh = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted)
    let used = count
    if let memory {
      if used > 0 { memcpy(fresh, memory + front, used) }
      memory.deallocate()
    }
    memory = fresh
    capacity = wanted
    front = 0
    back = used
    return fresh + used
  }

  public mutating func wrote(_ size: Int) { back += size }

  public mutating func append(_ bytes: UnsafePointer<UInt8>, _ size: Int) {
    guard size > 0 else { return }
    memcpy(room(size), bytes, size)
    back += size
  }

  public mutating func append(_ text: StaticString) { append(text.utf8Start, text.utf8CodeUnitCount) }

  public mutating func append(_ bytes: [UInt8]) {
    bytes.withUnsafeBufferPointer { if let base = $0.baseAddress { append(base, $0.count) } }
  }

  public mutating func append(_ text: String) {
    var text = text
    text.withUTF8 { if let base = $0.baseAddress { append(base, $0.count) } }
  }

  /// A number in decimal, without making a string.
  public mutating func append(decimal value: Int) {
    if value < 0 { append("-") }
    var digits: InlineArray<20, UInt8> = .init(repeating: 0)
    var rest = value.magnitude
    var at = 20
    repeat {
      at -= 1
      digits[at] = UInt8(truncatingIfNeeded: 0x30 + rest % 10)
      rest /= 10
    } while rest > 0
    let target = room(20 - at)
    for index in at..<20 { target[index - at] = digits[index] }
    back += 20 - at
  }

  /// A number in hexadecimal, without making a string.
  public mutating func append(hexadecimal value: Int) {
    var shift = 60
    while shift > 0, value >> shift == 0 { shift -= 4 }
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: value >> shift & 15)
      room(1)[0] = digit < 10 ? 0x30 + digit : 0x57 + digit
      back += 1
      shift -= 4
    }
  }

  /// Drops bytes at the front; an empty queue of more than 64 KiB frees its memory.
  public mutating func drop(_ size: Int) {
    front += size
    if front == back {
      front = 0
      back = 0
      if capacity > 65536 { free() }
    }
  }

  /// Drops all but the first bytes.
  public mutating func keepFirst(_ size: Int) { back = min(back, front + size) }

  public mutating func clear() { drop(count) }

  /// Must be called before the owner goes.
  public mutating func free() {
    memory?.deallocate()
    memory = nil
    capacity = 0
    front = 0
    back = 0
  }
}
