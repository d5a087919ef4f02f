internal import CLinux
internal import Glibc

/// Bytes that come in at the end and go out at the front, in one block of memory that its loop owns.
///
/// Grows by doubling. When it becomes empty its memory goes back to its thread's spare blocks: a connection that waits
/// keeps none, and what is written next lies in the cache. Held by a `let`: a queue in a `var` of a class would have each
/// append checked for exclusive access at run time, which showed in profiles.
public final class ByteQueue {
  @usableFromInline struct Fields {
    @usableFromInline var memory: UnsafeMutablePointer<UInt8>?
    @usableFromInline var capacity = 0
    @usableFromInline var front = 0
    @usableFromInline var back = 0
  }

  @usableFromInline let fields: UnsafeMutablePointer<Fields>

  public init() {
    fields = .allocate(capacity: 1)
    fields.initialize(to: Fields())
  }

  deinit {
    free()
    fields.deallocate()
  }

  @inlinable var memory: UnsafeMutablePointer<UInt8>? {
    get { fields.pointee.memory }
    set { fields.pointee.memory = newValue }
  }
  @inlinable var capacity: Int {
    get { fields.pointee.capacity }
    set { fields.pointee.capacity = newValue }
  }
  @inlinable var front: Int {
    get { fields.pointee.front }
    set { fields.pointee.front = newValue }
  }
  @inlinable var back: Int {
    get { fields.pointee.back }
    set { fields.pointee.back = newValue }
  }

  @inlinable public var count: Int { back - front }
  @inlinable public var isEmpty: Bool { back == front }
  /// The first byte; valid until the next change.
  @inlinable public var base: UnsafeMutablePointer<UInt8>? { memory.map { $0 + front } }

  /// All bytes; valid until the next change.
  @inlinable public var bytes: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: count) }

  /// Room for `size` more bytes: write there, then call `wrote`.
  @inlinable public func room(_ size: Int) -> UnsafeMutablePointer<UInt8> {
    if let memory, capacity - back >= size { return memory + back }
    return grow(size)
  }

  @usableFromInline func grow(_ size: Int) -> UnsafeMutablePointer<UInt8> {
    if let memory, front > 0, capacity - count >= size, front >= count {
      memcpy(memory, memory + front, count)
      back -= front
      front = 0
      return memory + back
    }
    var wanted = max(capacity, 4096)
    while wanted - count < size { wanted *= 2 }
    let fresh = roost_block_take(wanted).assumingMemoryBound(to: UInt8.self)
    let used = count
    if let memory {
      if used > 0 { memcpy(fresh, memory + front, used) }
      roost_block_give(memory, capacity)
    }
    memory = fresh
    capacity = wanted
    front = 0
    back = used
    return fresh + used
  }

  @inlinable public func wrote(_ size: Int) { back += size }

  @inlinable public func append(_ bytes: UnsafePointer<UInt8>, _ size: Int) {
    guard size > 0 else { return }
    room(size).initialize(from: bytes, count: size)
    back += size
  }

  /// Always in its caller's code, where the length of the text is known: a short one becomes a few stores.
  @inlinable @inline(__always) public func append(_ text: StaticString) {
    let size = text.utf8CodeUnitCount
    room(size).initialize(from: text.utf8Start, count: size)
    back += size
  }

  public func append(_ bytes: [UInt8]) {
    bytes.withUnsafeBufferPointer { if let base = $0.baseAddress { append(base, $0.count) } }
  }

  /// Disfavored, so that a literal is taken as a `StaticString`, whose bytes lie ready.
  @_disfavoredOverload
  public func append(_ text: String) {
    var text = text
    text.withUTF8 { if let base = $0.baseAddress { append(base, $0.count) } }
  }

  /// A number in decimal, without making a string.
  public func append(decimal value: Int) {
    if value < 0 { append("-") }
    var rest = value.magnitude
    // A magnitude has 19 digits at most.
    var size = 1
    var bound: UInt = 10
    while size < 19, rest >= bound {
      size &+= 1
      bound &*= 10
    }
    let target = room(size)
    var at = size
    while at > 0 {
      at &-= 1
      target[at] = UInt8(truncatingIfNeeded: 0x30 &+ rest % 10)
      rest /= 10
    }
    back += size
  }

  /// A number in hexadecimal, without making a string.
  public func append(hexadecimal value: Int) {
    var shift = 60
    while shift > 0, value >> shift == 0 { shift -= 4 }
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: value >> shift & 15)
      room(1)[0] = digit < 10 ? 0x30 + digit : 0x57 + digit
      back += 1
      shift -= 4
    }
  }

  /// Drops bytes at the front. An empty queue gives its memory back.
  @inlinable public func drop(_ size: Int) {
    front += size
    if front == back, memory != nil { free() }
  }

  /// Drops all bytes and keeps the memory, for a queue that fills again and again.
  public func empty() {
    front = 0
    back = 0
  }

  /// Drops all but the first bytes.
  public func keepFirst(_ size: Int) { back = min(back, front + size) }

  @inlinable public func clear() { drop(count) }

  /// A queue with all the bytes of this one, which is empty then.
  public func moved() -> ByteQueue {
    let other = ByteQueue()
    swap(&fields.pointee, &other.fields.pointee)
    return other
  }

  /// Gives the memory back; what is in the queue is gone.
  public func free() {
    if let memory { roost_block_give(memory, capacity) }
    memory = nil
    capacity = 0
    front = 0
    back = 0
  }
}
