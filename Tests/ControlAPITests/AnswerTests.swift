import Domain
import FoundationEssentials
import HTTPModel
import Testing

@testable import ControlAPI

struct AnswerTests {
  private struct Problem: Decodable {
    var title: String
    var status: Int
    var detail: String
    var instance: String
    var code: String
    var field: String?
    var requestId: String
  }

  private let request = HTTPRequest(method: "GET", target: "/v1/nodes?folder=x", requestID: "r1")

  @Test(arguments: PlatformError.Code.allCases)
  func `every error code becomes problem details with its own status`(code: PlatformError.Code) throws {
    let error = PlatformError(code, "what to do", origin: .node, field: "name")
    let response = Answer.problem(error, for: request)
    let problem = try JSONDecoder().decode(Problem.self, from: Data(response.body))
    #expect(response.status == code.httpStatus)
    #expect((400...599).contains(response.status))
    #expect(problem.status == response.status)
    #expect(problem.detail == "what to do")
    #expect(problem.field == "name")
    #expect(problem.instance == "/v1/nodes", "the query may hold secrets")
    #expect(problem.requestId == "r1")
    #expect(problem.code == problem.title.uppercased().split(separator: " ").joined(separator: "_"))
    let headers = Dictionary(uniqueKeysWithValues: response.headers.map { ($0.name, $0.value) })
    #expect(headers["content-type"] == "application/problem+json")
    #expect(headers["x-roost-fault"] == "node")
    #expect((headers["www-authenticate"] != nil) == (response.status == 401))
  }

  @Test func `codes are spelled in the words of the wire`() {
    #expect(Answer.word(.invalidArgument) == "INVALID_ARGUMENT")
    #expect(Answer.word(.internal) == "INTERNAL")
    #expect(Answer.word(.payloadTooLarge) == "PAYLOAD_TOO_LARGE")
  }
}
