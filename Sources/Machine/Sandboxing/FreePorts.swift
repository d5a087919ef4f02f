import Glibc

/// Ports of 127.0.0.1 that nobody listens on at this moment; another process may take one before it is used.
public enum FreePorts {
  public static func find(_ count: Int) throws(SystemFailure) -> [UInt16] {
    var sockets: [Int32] = []
    defer { for each in sockets { close(each) } }
    var ports: [UInt16] = []
    for _ in 0..<count {
      let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      guard number >= 0 else { throw SystemFailure("make a socket") }
      sockets.append(number)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      var size = socklen_t(MemoryLayout<sockaddr_in>.size)
      let isBound = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
          bind(number, generic, size) == 0 && getsockname(number, generic, &size) == 0
        }
      }
      guard isBound else { throw SystemFailure("find a free port") }
      ports.append(UInt16(bigEndian: address.sin_port))
    }
    return ports
  }
}
