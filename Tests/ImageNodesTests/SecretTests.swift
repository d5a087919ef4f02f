import Domain
import DriverAPI
import FoundationEssentials
import Glibc
import Testing

@testable import ImageNodes

@Suite struct SecretTests {
  @Test func `files of instances lie in memory, are their user's alone and go with the instance`() throws {
    let files = SecretFiles(owner: "test-\(getpid())")
    let instance = InstanceID.random()
    let paths = try files.write([Array("one".utf8), []], of: instance)
    defer { files.remove(instance) }
    #expect(paths.count == 2 && paths.allSatisfy { $0.hasPrefix("/run/") || $0.hasPrefix("/dev/shm/") })
    #expect(FileManager.default.contents(atPath: paths[0]).map { Array($0) } == Array("one".utf8))
    #expect(mode(paths[0]) == 0o400 && mode(folder(paths[0])) == 0o700)
    #expect(mode(folder(folder(paths[0]))) == 0o700)
    #expect(files.instances() == [instance])
    try files.give(paths, to: geteuid() == 0 ? 10001 : geteuid() + 1)
    var status = stat()
    #expect(stat(paths[0], &status) == 0)
    if geteuid() == 0 {
      #expect(status.st_uid == 10001 && mode(paths[0]) == 0o400)
    } else {
      #expect(mode(paths[0]) == 0o444)
    }
    // Written anew, as after a start that failed.
    _ = try files.write([[1]], of: instance)
    files.remove(instance)
    #expect(files.instances().isEmpty && access(folder(folder(paths[0])), F_OK) != 0)
  }

  private func folder(_ path: String) -> String {
    String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
  }

  private func mode(_ path: String) -> mode_t {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
  }

  @Test func `only what is in memory is taken for it`() {
    let mounts = """
      /dev/vda / ext4 rw 0 0
      tmpfs /run tmpfs rw 0 0
      /dev/vdb /run/big ext4 rw 0 0
      tmpfs /dev/shm tmpfs rw 0 0
      overlay /dev/shm overlay rw 0 0
      """
    #expect(SecretFiles.isInMemory("/run", mounts: mounts))
    #expect(SecretFiles.isInMemory("/run/roost", mounts: mounts))
    #expect(!SecretFiles.isInMemory("/run/big/roost", mounts: mounts))
    #expect(!SecretFiles.isInMemory("/dev/shm", mounts: mounts), "the last mount is what one sees")
    #expect(!SecretFiles.isInMemory("/running", mounts: mounts))
    #expect(!SecretFiles.isInMemory("/run", mounts: ""))
  }

  @Test func `users are found by number and by name`() throws {
    #expect(ContainerUser.number("") == 0)
    #expect(ContainerUser.number("10001:10001") == 10001)
    #expect(ContainerUser.number("app:10001") == nil)
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:10001:10002::/:/none\n"
    #expect(ContainerUser.number(of: "app:staff", passwd: passwd.utf8) == 10001)
    #expect(ContainerUser.number(of: "nobody", passwd: passwd.utf8) == nil)
    var tar = [UInt8](repeating: 0, count: 1024)
    tar.replaceSubrange(124..<135, with: Array("00000000005".utf8))
    tar[156] = 0x30
    tar.replaceSubrange(512..<517, with: Array("hello".utf8))
    #expect(ContainerUser.file(inTar: tar).map { Array($0) } == Array("hello".utf8))
    tar[156] = 0x32
    #expect(ContainerUser.file(inTar: tar) == nil, "a link")
    #expect(ContainerUser.file(inTar: Array(tar.prefix(300))) == nil)
  }

  @Test func `the first user of mapped containers is that of the engine's folder`() throws {
    func base(_ json: String) throws -> UInt32 {
      ContainerUser.base(try JSONDecoder().decode(EngineInfo.self, from: Data(json.utf8)))
    }
    let head = #"{"NCPU":2,"MemTotal":1,"#
    #expect(
      try base(
        head
          + #""SecurityOptions":["name=seccomp,profile=default","name=userns"],"DockerRootDir":"/var/lib/docker/100000.100000"}"#
      ) == 100000)
    #expect(
      try base(head + #""SecurityOptions":["name=seccomp"],"DockerRootDir":"/var/lib/docker/100000.100000"}"#)
        == 0)
    #expect(try base(head + #""DockerRootDir":"/var/lib/docker"}"#) == 0)
  }

  @Test func `values come to a container as variables and read-only mounts`() throws {
    let source = ImageSource(
      reference: "a", port: 80, environment: ["A": "1"], secrets: ["B": "key"], secretFiles: ["/k": "key"])
    let launch = NodeLaunch(
      node: .random(), nodeName: "web", release: 1, manifestPath: "", blobPaths: [], inputs: [], outputs: [],
      image: source)
    let body = ContainerPlan.body(
      .random(), launch, source, image: "sha256:1", owner: "o", cpus: 2,
      secrets: InstanceSecrets(variables: ["B": "value=x"], files: [(target: "/k", source: "/run/r/0")]))
    #expect(Array(body.Env.prefix(2)) == ["A=1", "B=value=x"])
    #expect(
      body.HostConfig.Mounts == [.init(Type: "bind", Source: "/run/r/0", Target: "/k", ReadOnly: true)])
  }

  @Test func `a helper that keeps a login is named`() throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "roost-\(UUID().uuidString)").path
    defer { unlink(path) }
    let text = #"{"auths":{"a.example":{}},"credHelpers":{"b.example":"ecr-login"},"credsStore":"pass"}"#
    try Data(text.utf8).write(to: URL(filePath: path))
    let logins = RegistryLogins(path: path)
    #expect(logins.helper(for: "b.example") == "docker-credential-ecr-login")
    #expect(logins.helper(for: "a.example") == "docker-credential-pass")
    #expect(logins.login(for: "a.example") == nil)
    #expect(RegistryLogins(path: nil).helper(for: "a.example") == nil)
  }
}
