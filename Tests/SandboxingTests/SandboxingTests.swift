import Glibc
import Sandboxing
import Testing

/// A folder of this test, removed by `defer`.
func temporaryFolder() throws -> String {
  let path = "/tmp/roost-sandboxing-\(UInt64.random(in: 0 ..< .max))"
  try Files.makeFolder(path)
  return path
}

struct SpawnTests {
  @Test func aCommandsOutputAndExitCodeAreKept() throws {
    let output = try CommandOutput.run("/bin/sh", ["-c", "echo out; echo err >&2; exit 3"])
    #expect(output.end == .exited(3))
    #expect(output.text == "out\nerr\n")
  }

  @Test func nothingIsInheritedButWhatIsGiven() throws {
    let extra = open("/dev/null", O_RDONLY)
    defer { close(extra) }
    let output = try CommandOutput.run(
      "/bin/sh", ["-c", "echo /proc/self/fd/*; echo $HOME$A; cut -d' ' -f6 /proc/self/stat; echo $$"],
      environment: ["A": "1"])
    let lines = output.text.split(separator: "\n")
    #expect(lines[0] == "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3", "\(lines[0])")
    #expect(lines[1] == "1")
    #expect(lines[2] == lines[3], "leads a session of its own")
  }

  @Test func aProgramThatIsNotThereIsNamed() {
    let error = #expect(throws: SystemFailure.self) { try CommandOutput.run("/no/such", []) }
    #expect(error?.description == "start /no/such (execute): No such file or directory")
  }

  @Test func acommandThatTakesTooLongIsKilled() throws {
    let output = try CommandOutput.run("/bin/sh", ["-c", "sleep 100"], timeout: .milliseconds(50))
    #expect(output.end == nil)
  }

  @Test func limitsHoldAndDescriptorsGetTheirNumbers() throws {
    let folder = try temporaryFolder()
    defer { Files.removeTree(folder) }
    let result = try FileHandle.open("\(folder)/out", .append)
    let process = try SpawnRequest(
      executable: "/bin/sh",
      arguments: ["-c", "{ ulimit -n; grep NoNewPrivs /proc/self/status; pwd; echo five >&5; }"],
      directory: folder,
      descriptors: [
        result.number, result.number, result.number, result.number, result.number, result.number,
      ],
      limits: [ResourceLimit(.openFiles, 77)], noNewPrivileges: true
    ).start()
    #expect(process.wait(.seconds(10)))
    #expect(process.reap() == .exited(0))
    #expect(Files.readText("\(folder)/out") == "77\nNoNewPrivs:\t1\n\(folder)\nfive\n")
  }

  @Test func aProcessIsKnownByPidAndStartTime() throws {
    let process = try SpawnRequest(executable: "/bin/sleep", arguments: ["100"], descriptors: []).start()
    #expect(ProcessHandle(pid: process.pid, startTicks: process.startTicks) != nil)
    #expect(ProcessHandle(pid: process.pid, startTicks: process.startTicks + 1) == nil)
    #expect(!process.hasEnded)
    process.signal(SIGTERM)
    #expect(process.wait(.seconds(10)))
    #expect(process.reap() == .signaled(SIGTERM))
    #expect(!process.signal(SIGTERM))
    #expect(ProcessHandle(pid: process.pid, startTicks: process.startTicks) == nil)
  }
}

struct FilesTests {
  @Test func aTreeIsRemovedWithoutFollowingLinks() throws {
    let folder = try temporaryFolder()
    let outside = try temporaryFolder()
    defer { Files.removeTree(outside) }
    try Files.makeFolder("\(folder)/a/b")
    try Files.write([1], to: "\(outside)/kept")
    symlink(outside, "\(folder)/a/link")
    try Files.linkOrCopy("\(outside)/kept", to: "\(folder)/a/b/second")
    Files.removeTree(folder)
    #expect(!Files.exists(folder))
    #expect(Files.exists("\(outside)/kept"))
  }

  @Test func aSocketIsReachedHoweverLongItsPathIs() throws {
    let folder = try temporaryFolder()
    defer { Files.removeTree(folder) }
    let deep = "\(folder)/\(String(repeating: "long-name/", count: 20))end"
    try Files.makeFolder(deep)
    let server = """
      import os, socket, sys
      os.chdir(sys.argv[1]); s = socket.socket(socket.AF_UNIX); s.bind('s.sock'); s.listen(); c, _ = s.accept()
      c.sendall(c.recv(100)); c.close()
      """
    let python = try #require(Files.findExecutable("python3"))
    let nothing = try FileHandle.open("/dev/null", .read)
    let process = try SpawnRequest(
      executable: python, arguments: ["-c", server, deep],
      environment: SystemEnvironment.values(["HOME", "PATH", "PYENV_ROOT"]),
      descriptors: [nothing.number, nothing.number, nothing.number]
    ).start()
    defer { process.signal(SIGKILL) }
    var connection: UnixConnection?
    let deadline = Deadline(after: .seconds(10))
    while connection == nil && !deadline.hasPassed {
      connection = try? UnixConnection(path: "\(deep)/s.sock")
      if connection == nil { usleep(5000) }
    }
    let open = try #require(connection)
    #expect(open.peer == process.pid)
    try open.send(Array("hello".utf8), deadline: deadline)
    #expect(String(decoding: try open.receive(deadline: deadline), as: UTF8.self) == "hello")
    #expect(throws: UnixConnection.Failure.self) { try open.receive(deadline: deadline) }
    _ = process.wait(.seconds(5))
    _ = process.reap()
  }
}

struct SocketNameTests {
  @Test func aSocketGetsASecondNameOnce() throws {
    let folder = try temporaryFolder()
    defer { Files.removeTree(folder) }
    #expect(try !Files.linkSocket("\(folder)/made", to: "\(folder)/known"), "it is not there yet")
    let listener = try UnixListener(path: "\(folder)/made")
    #expect(try Files.linkSocket("\(folder)/made", to: "\(folder)/known"))
    listener.close()
    // The first name is gone; the second stays what it was.
    symlink("/elsewhere", "\(folder)/made")
    #expect(try Files.linkSocket("\(folder)/made", to: "\(folder)/known"))
    #expect(Files.exists("\(folder)/known"))
  }

  @Test(arguments: ["link", "file"])
  func whatIsNoSocketGetsNone(kind: String) throws {
    let folder = try temporaryFolder()
    defer { Files.removeTree(folder) }
    let listener = try UnixListener(path: "\(folder)/other")
    defer { listener.close() }
    if kind == "link" {
      symlink("\(folder)/other", "\(folder)/made")
    } else {
      try Files.write([1], to: "\(folder)/made")
    }
    let error = #expect(throws: SystemFailure.self) {
      try Files.linkSocket("\(folder)/made", to: "\(folder)/known")
    }
    #expect(error?.code == ENOTSOCK)
    #expect(!Files.exists("\(folder)/known"))
  }
}
