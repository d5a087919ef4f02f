import CLinux
import Glibc
import Synchronization
import Testing

/// A process that a test started: killed by `stop`.
final class TestProcess: Sendable {
  let pid: pid_t
  /// The first line that it printed.
  let firstLine: String

  /// Starts a program found in PATH and waits for the first line of its output.
  init(_ arguments: [String]) throws {
    var pipe: [Int32] = [0, 0]
    guard Glibc.pipe(&pipe) == 0 else { throw Failure(message: "no pipe") }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, pipe[1], 1)
    posix_spawn_file_actions_addclose(&actions, pipe[0])
    var argv = arguments.map { strdup($0) }
    argv.append(nil)
    defer { for text in argv { Glibc.free(text) } }
    var child: pid_t = 0
    let result = posix_spawnp(&child, arguments[0], &actions, nil, argv, environ)
    close(pipe[1])
    defer { close(pipe[0]) }
    guard result == 0 else { throw Failure(message: "\(arguments[0]) can't be started: \(result)") }
    pid = child
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while read(pipe[0], &byte, 1) == 1, byte != 0x0a { line.append(byte) }
    firstLine = String(decoding: line, as: UTF8.self)
  }

  struct Failure: Error { var message: String }

  func stop(_ signal: Int32 = SIGKILL) {
    kill(pid, signal)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
  }

  /// A folder of its own under the system's folder for temporary files.
  static func folder() -> String {
    var template = Array("/tmp/roost-proxy-XXXXXX".utf8CString)
    return template.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) } ?? ""
    }
  }

  /// The project's Python with its packages, or the system's.
  static let python: String = {
    let own = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/.venv/bin/python"
    return access(own, X_OK) == 0 ? own : "python3"
  }()

  static func write(_ text: String, to path: String) {
    guard let file = fopen(path, "w") else { return }
    fputs(text, file)
    fclose(file)
  }

  /// A port at which connections are refused. Its socket is kept to the end of the process: a port that is merely free is given
  /// to another test's server sooner or later, and that one answers.
  static func closedPort() -> UInt16 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    precondition(bound, "no port is left")
    return UInt16(roost_bound_port(descriptor))
  }

  static func freePort() -> UInt16 {
    let descriptor = roost_listen_tcp("127.0.0.1", 0, 1)
    defer { close(descriptor) }
    return UInt16(roost_bound_port(descriptor))
  }
}

/// nginx with one `server` block, over TCP and a unix socket.
final class NginxServer: Sendable {
  let port: UInt16
  let folder: String
  private let process: TestProcess
  var address: String { "127.0.0.1:\(port)" }
  var unixAddress: String { "unix:\(folder)/nginx.sock" }

  init(_ locations: String, listen: String = "") async throws {
    folder = TestProcess.folder()
    port = TestProcess.freePort()
    let text = """
      daemon off; worker_processes 1; pid \(folder)/pid; error_log \(folder)/error.log;
      events { worker_connections 512; }
      http {
        access_log off; client_body_temp_path \(folder); proxy_temp_path \(folder); fastcgi_temp_path \(folder);
        uwsgi_temp_path \(folder); scgi_temp_path \(folder); client_max_body_size 1g;
        server { listen 127.0.0.1:\(port) \(listen); listen unix:\(folder)/nginx.sock; root \(folder); \(locations) }
      }
      """
    TestProcess.write(text, to: folder + "/nginx.conf")
    // nginx prints nothing when it is ready: the shell prints a line and becomes nginx.
    process = try TestProcess(["sh", "-c", "echo; exec nginx -c \(folder)/nginx.conf"])
    let port = port
    await eventually {
      let descriptor = roost_dial("127.0.0.1", port, 100)
      if descriptor >= 0 { close(descriptor) }
      return descriptor >= 0
    }
  }

  func stop() {
    process.stop(SIGTERM)
    TestProcess.removeFolder(folder)
  }
}

extension TestProcess {
  /// Removes a folder and the files in it.
  static func removeFolder(_ path: String) {
    guard path.hasPrefix("/tmp/roost-proxy-"), let listing = opendir(path) else { return }
    while let entry = readdir(listing) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { remove(path + "/" + name) }
    }
    closedir(listing)
    rmdir(path)
  }
}

/// A Python program that prints its port first.
final class PythonServer: Sendable {
  let port: UInt16
  private let process: TestProcess
  var address: String { "127.0.0.1:\(port)" }
  var pid: pid_t { process.pid }

  init(_ script: String, arguments: [String] = []) throws {
    process = try TestProcess([TestProcess.python, "-c", script] + arguments)
    guard let port = UInt16(process.firstLine) else {
      throw TestProcess.Failure(message: "the server said '\(process.firstLine)', not its port")
    }
    self.port = port
  }

  func stop() { process.stop() }
  func kill() { process.stop() }

  /// Accepts connections and plays one list of Python byte strings to each, after it has read a whole head. Actions:
  /// bytes are sent; a number waits so many milliseconds; None closes; "reset" resets; "head" reads another head;
  /// "echo" echoes to the end.
  static func scripted(_ connections: String) -> String {
    """
    import socket, struct, time, threading
    server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(64)
    print(server.getsockname()[1], flush=True)
    scripts = \(connections)
    def head(peer, rest):
        while b"\\r\\n\\r\\n" not in rest:
            part = peer.recv(65536)
            if not part: return None
            rest += part
        return rest.split(b"\\r\\n\\r\\n", 1)[1]
    def play(peer, script):
        rest = b""
        for step in script:
            if step == "head":
                rest = head(peer, rest)
                if rest is None: break
            elif step == "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
            elif step == "echo":
                if rest: peer.sendall(rest)
                while True:
                    part = peer.recv(65536)
                    if not part: break
                    peer.sendall(part)
            elif step == "eof":
                while peer.recv(65536): pass
            elif isinstance(step, int): time.sleep(step / 1000)
            else: peer.sendall(step)
        peer.close()
    count = 0
    while True:
        peer, _ = server.accept()
        threading.Thread(target=play, args=(peer, scripts[min(count, len(scripts) - 1)]), daemon=True).start()
        count += 1
    """
  }
}
