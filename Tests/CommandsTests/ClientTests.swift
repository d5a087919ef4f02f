import Glibc
import TestSupport
import Testing

@testable import Commands

private let node = """
  {"id":"nodaaaaaaaaaaaaaaaaa","folderId":"fldaaaaaaaaaaaaaaaaa","projectId":"prjaaaaaaaaaaaaaaaaa","name":"n-1",
  "kind":"cell","createdAt":"2026-01-01T00:00:00.000Z","createdBy":"me","updatedAt":"2026-01-01T00:00:00.000Z",
  "generation":1,"spec":{"description":"","cell":{"checkpointId":"chkaaaaaaaaaaaaaaaaa","inputs":[{"name":"x",
  "type":"int"}],"outputs":[{"name":"y","type":"int"}],"isolation":"instance","startMode":"auto",
  "restore":"reachable","keepRandomState":false},"configuration":"c1.4","instances":{"min":1,"max":2,"count":2},
  "subnet":"none","zones":[],"maintenanceLimit":1,"timeoutSeconds":15,"queueLimit":1000,
  "acl":["fldaaaaaaaaaaaaaaaaa"]},"status":{"status":"HEALTHY","healthyInstances":2,"desiredInstances":2,
  "release":1,"conditions":[],"restarts":0},"limits":[{"name":"memory","value":"32 GiB","origin":"configuration"}],
  "executePath":"/datasphere/v1/nodes/nodaaaaaaaaaaaaaaaaa:execute"}
  """

private func operation(done: Bool, _ rest: String = "") -> String {
  """
  {"id":"opnaaaaaaaaaaaaaaaaa","description":"create node n-1","createdAt":"2026-01-01T00:00:00.000Z",
  "createdBy":"me","modifiedAt":"2026-01-01T00:00:00.000Z","done":\(done)\(rest)}
  """
}

/// Runs one command against prepared answers.
private func run(
  _ arguments: [String], _ answers: [String: [AnsweringServer.Answer]], token: String? = "secret"
) async throws -> (code: Int32, recorder: Recorder, requests: [String]) {
  let server = try AnsweringServer(answers)
  let recorder = Recorder()
  // A thread of its own, started here: the blocking client may hold every thread of the task pool.
  startThread { server.run() }
  defer { server.stop() }
  var environment = ["HOME": "/nowhere", "ROOST_URL": server.url]
  environment["ROOST_TOKEN"] = token
  let code = await recorder.shell(environment).run(arguments)
  return (code, recorder, server.requests)
}

private func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  pthread_create(
    &thread, nil,
    { raw in
      guard let raw else { return nil }
      Unmanaged<Box>.fromOpaque(raw).takeRetainedValue().body()
      return nil
    }, Unmanaged.passRetained(Box(body)).toOpaque())
  pthread_detach(thread)
}

@Suite(.ownThread, .timeLimit(.minutes(5))) struct ClientTests {
  @Test func `node list prints an aligned table and sends the token`() async throws {
    let (code, recorder, requests) = try await run(
      ["node", "list"], ["GET /v1/nodes": [.init(body: #"{"nodes":[\#(node)]}"#)]])
    #expect(code == 0)
    let lines = recorder.output.split(separator: "\n")
    #expect(lines.first?.hasPrefix("NAME  STATUS   INSTANCES") == true)
    #expect(lines.last?.hasPrefix("n-1   HEALTHY  2/2") == true)
    #expect(requests.first?.contains("authorization: Bearer secret\r\n") == true)
  }

  @Test func `listings follow their pages`() async throws {
    let (code, recorder, _) = try await run(
      ["node", "list", "-o", "name"],
      [
        "GET /v1/nodes": [.init(body: #"{"nodes":[\#(node)],"nextPageToken":"a b"}"#)],
        "GET /v1/nodes?page_token=a%20b": [.init(body: #"{"nodes":[\#(node)]}"#)],
      ])
    #expect(code == 0)
    #expect(recorder.output == "n-1\nn-1\n")
  }

  @Test func `node create with wait follows the operation to its end`() async throws {
    let (code, recorder, requests) = try await run(
      [
        "node", "create", "n-1", "--checkpoint", "c", "--input", "x:int", "--output", "y:int", "--instances",
        "2",
        "--timeout", "15s", "--memory", "2GiB", "--wait",
      ],
      [
        "POST /v1/nodes": [.init(status: 202, body: operation(done: false))],
        "GET /v1/operations/opnaaaaaaaaaaaaaaaaa": [
          .init(body: operation(done: false, #","progress":"0 of 2 instances healthy""#)),
          .init(body: operation(done: true, ",\"response\":" + node)),
        ],
      ])
    #expect(code == 0)
    #expect(recorder.output.hasPrefix("node n-1 is HEALTHY: 2 of 2 instances healthy"), "\(recorder.errors)")
    #expect(recorder.errors.contains("0 of 2 instances healthy"))
    let body = try #require(requests.first)
    for part in [#""checkpoint":"c""#, #""memoryBytes":2147483648"#, #""timeoutSeconds":15"#, #""count":2"#] {
      #expect(body.contains(part))
    }
  }

  @Test func `a failed operation ends with its error`() async throws {
    let (code, recorder, _) = try await run(
      ["node", "delete", "n-1", "--wait"],
      [
        "DELETE /v1/nodes/n-1": [
          .init(status: 202, body: operation(done: true, #","error":{"code":9,"message":"it is busy"}"#))
        ]
      ])
    #expect(code == 1)
    #expect(recorder.errors.hasPrefix("error: it is busy"))
  }

  @Test func `operation cancel tells what became of the change, and fails when it came too late`()
    async throws
  {
    let path = "POST /v1/operations/opnaaaaaaaaaaaaaaaaa:cancel"
    let gone = operation(
      done: true, #","error":{"code":1,"message":"cancelled by me: node 'n-1' is being deleted"}"#)
    var (code, recorder, _) = try await run(
      ["operation", "cancel", "opnaaaaaaaaaaaaaaaaa"], [path: [.init(body: gone)]])
    #expect(code == 0)
    #expect(recorder.output == "create node n-1: cancelled by me: node 'n-1' is being deleted\n")
    (code, recorder, _) = try await run(
      ["operation", "cancel", "opnaaaaaaaaaaaaaaaaa"], [path: [.init(body: operation(done: true))]])
    #expect(code == 1)
    #expect(
      recorder.errors.hasPrefix("error: create node n-1: it had ended before it could be cancelled (DONE)"))
  }

  @Test func `a call prints the output and keeps every digit`() async throws {
    let (code, recorder, requests) = try await run(
      ["node", "call", "n-1", "--input", #"{"x": 12345678901234567890}"#],
      [
        "GET /v1/nodes/n-1": [.init(body: node)],
        "POST /datasphere/v1/nodes/nodaaaaaaaaaaaaaaaaa:execute": [
          .init(body: #"{"output":{"y":98765432109876543210}}"#)
        ],
      ])
    #expect(code == 0)
    #expect(recorder.output == #"{"y":98765432109876543210}"# + "\n")
    #expect(
      requests.last?.hasSuffix(#"{"folder_id":"fldaaaaaaaaaaaaaaaaa","input":{"x":12345678901234567890}}"#)
        == true)
  }

  @Test func `a failure of the cell prints its traceback`() async throws {
    let error = """
      {"code":3,"message":"ZeroDivisionError: division by zero","details":[{"@type":"t",
      "error_name":"ZeroDivisionError","error_message":"division by zero","traceback":["Traceback:","  line 1"]}]}
      """
    let (code, recorder, _) = try await run(
      ["node", "call", "n-1"],
      [
        "GET /v1/nodes/n-1": [.init(body: node)],
        "POST /datasphere/v1/nodes/nodaaaaaaaaaaaaaaaaa:execute": [.init(status: 400, body: error)],
      ])
    #expect(code == 1)
    #expect(
      recorder.errors
        == "error: ZeroDivisionError: division by zero\nrequest id: r-1\n\nTraceback:\n  line 1\n")
  }

  @Test(arguments: [
    (404, "NOT_FOUND", ExitCode.notFound), (401, "UNAUTHENTICATED", .forbidden),
    (403, "PERMISSION_DENIED", .forbidden), (503, "UNAVAILABLE", .unavailable),
    (504, "DEADLINE_EXCEEDED", .timeout), (400, "INVALID_ARGUMENT", .failed),
  ]) func `an error of the server decides the exit code`(_ status: Int, _ word: String, _ expected: ExitCode)
    async throws
  {
    let problem = #"{"detail":"bad","code":"\#(word)","field":"f","requestId":"r-9"}"#
    let (code, recorder, _) = try await run(
      ["checkpoint", "list"], ["GET /v1/checkpoints": [.init(status: status, body: problem)]])
    #expect(code == expected.rawValue)
    #expect(recorder.errors.hasPrefix("error: bad\nfield: f\nrequest id: r-9\n"))
  }

  @Test func `token create prints the token alone`() async throws {
    let token = """
      {"id":"t1","iamToken":"abc.def","subject":"me","createdAt":"2026-01-01T00:00:00.000Z",
      "expiresAt":"2026-01-01T01:00:00.000Z"}
      """
    let (code, recorder, requests) = try await run(
      ["token", "create", "--ttl", "1h"], ["POST /v1/tokens": [.init(status: 201, body: token)]])
    #expect(code == 0)
    #expect(recorder.output == "abc.def\n")
    #expect(requests.first?.contains(#""ttlSeconds":3600"#) == true)
  }

  @Test func `describe ends with a call to paste`() async throws {
    let (code, recorder, _) = try await run(
      ["node", "describe", "n-1"],
      [
        "GET /v1/nodes/n-1": [.init(body: node)],
        "GET /v1/nodes/nodaaaaaaaaaaaaaaaaa/instances": [.init(body: #"{"instances":[]}"#)],
      ])
    #expect(code == 0)
    #expect(recorder.output.contains("memory  32 GiB  configuration"))
    #expect(recorder.output.contains(#"-d '{"folder_id":"fldaaaaaaaaaaaaaaaaa","input":{"x":1}}'"#))
  }
}
