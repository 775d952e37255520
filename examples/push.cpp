// Reports a training from C++ as msgpack frames; needs libcurl and nothing else.
// c++ -std=c++17 push.cpp -lcurl -o push
#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

std::random_device entropy;
std::mt19937_64 randomness(entropy());

std::string hex(int digits) {
    std::string text;
    for (int i = 0; i < digits; ++i) text += "0123456789abcdef"[randomness() & 15];
    return text;
}

// The part of msgpack that a frame needs: maps, text, and arrays as raw little-endian bytes.
class Msgpack {
   public:
    void map(std::size_t pairs) { bytes_ += static_cast<char>(0x80 | pairs); }  // at most 15

    void text(const std::string& value) { sized(0xd9, value.data(), value.size(), 1); }

    template <typename Number>
    void array(const std::vector<Number>& values) {  // of a little-endian machine
        sized(0xc6, values.data(), values.size() * sizeof(Number), 4);
    }

    const std::string& bytes() const { return bytes_; }

   private:
    void sized(int kind, const void* data, std::size_t size, int length_bytes) {
        bytes_ += static_cast<char>(kind);
        for (int i = length_bytes - 1; i >= 0; --i) bytes_ += static_cast<char>(size >> 8 * i);
        if (size) bytes_.append(static_cast<const char*>(data), size);
    }

    std::string bytes_;
};

struct Answer {
    long status = 0;  // 0: none came
    std::string body;
    double retry_after = 0;
};

std::size_t collect(char* data, std::size_t size, std::size_t count, void* target) {
    static_cast<std::string*>(target)->append(data, size * count);
    return size * count;
}

class Service {
   public:
    Service() : curl_(curl_easy_init()) {
        const char* url = std::getenv("GRADWATCH_URL");
        const char* key = std::getenv("GRADWATCH_API_KEY");
        api_ = std::string(url ? url : "http://127.0.0.1:8321") + "/api/v1";
        key_ = key ? key : "";
    }
    ~Service() { curl_easy_cleanup(curl_); }
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    // Sends the same bytes until they are answered for good.
    std::string send(const char* method, const std::string& path, const char* media, const std::string& body) {
        for (int tries = 1;; ++tries) {
            const Answer answer = once(method, path, media, body);
            if (answer.status == 200 || answer.status == 201) return answer.body;
            const bool later = answer.status == 0 || answer.status == 429 || answer.status >= 500;
            if (!later || tries == 8) throw std::runtime_error(std::to_string(answer.status) + " " + answer.body);
            std::uniform_real_distribution<double> jitter(0, std::min(60.0, 0.5 * std::pow(2, tries)));
            const double seconds = std::max(answer.retry_after, jitter(randomness));
            std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
        }
    }

   private:
    Answer once(const char* method, const std::string& path, const char* media, const std::string& body) {
        Answer answer;
        curl_slist* headers = curl_slist_append(nullptr, (std::string("Content-Type: ") + media).c_str());
        if (!key_.empty()) headers = curl_slist_append(headers, ("Authorization: Bearer " + key_).c_str());
        curl_easy_reset(curl_);
        curl_easy_setopt(curl_, CURLOPT_URL, (api_ + path).c_str());
        curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, method);
        curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
        curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body.data());
        curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, collect);
        curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &answer.body);
        curl_easy_setopt(curl_, CURLOPT_NOPROXY, "localhost,127.0.0.1");
        curl_easy_setopt(curl_, CURLOPT_TIMEOUT, 30L);
        if (curl_easy_perform(curl_) == CURLE_OK) {
            curl_off_t wait = 0;
            curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &answer.status);
            curl_easy_getinfo(curl_, CURLINFO_RETRY_AFTER, &wait);
            answer.retry_after = static_cast<double>(wait);
        }
        curl_slist_free_all(headers);
        return answer;
    }

    CURL* curl_;
    std::string api_, key_;
};

// The text of a member of an answer; enough for an id or a hash.
std::string member(const std::string& json, const std::string& name) {
    const std::string start = "\"" + name + "\":\"";
    const auto at = json.find(start);
    if (at == std::string::npos) throw std::runtime_error("no " + name + " in the answer");
    const auto begin = at + start.size();
    return json.substr(begin, json.find('"', begin) - begin);
}

struct Frame {
    std::vector<std::int64_t> steps;
    std::vector<double> time, loss;
    // A row of all layers for each step; a value that was not measured is the NaN of bits 0x7FC007A2.
    std::vector<float> grad_norm;

    std::string encode(const std::string& layers_hash) const {
        Msgpack out;
        out.map(5);
        out.text("steps"), out.array(steps);
        out.text("time"), out.array(time);
        out.text("scalars"), out.map(1), out.text("loss"), out.array(loss);
        out.text("layers_hash"), out.text(layers_hash);
        out.text("layers"), out.map(1), out.text("grad_norm"), out.array(grad_norm);
        return out.bytes();
    }
};

void train(Service& service) {
    const std::string id = hex(8) + "-" + hex(4) + "-4" + hex(3) + "-8" + hex(3) + "-" + hex(12);
    const std::string introduction = R"({"project": "examples", "name": "c++", "id": ")" + id + R"(", "launch_id": ")" +
                                     id + R"(", "layers": [{"name": "embedding", "kind": "embedding", "depth": 0},)" +
                                     R"({"name": "rnn", "kind": "recurrent", "depth": 1}]})";
    const std::string run = service.send("POST", "/runs", "application/json", introduction);
    const std::string hash = member(run, "layers_hash");
    const std::string frames = "/runs/" + id + "/writers/cpp-" + hex(8) + "/frames/";
    Frame frame;
    int seq = 0;
    for (int step = 0; step < 80; ++step) {
        const double growth = step > 50 ? std::pow(2.0, step - 50) : 1.0;
        const double noise = 1 + 0.05 * std::sin(7.0 * step);
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        frame.steps.push_back(step);
        frame.time.push_back(std::chrono::duration<double>(now).count());
        frame.loss.push_back(2 * noise * std::sqrt(growth));
        frame.grad_norm.push_back(static_cast<float>(1 / noise));
        frame.grad_norm.push_back(static_cast<float>(noise * growth));
        if (frame.steps.size() == 10) {
            const std::string body = frame.encode(hash);
            const auto receipt =
                service.send("PUT", frames + std::to_string(seq++), "application/msgpack", body);
            if (member(receipt, "health") != "ok") std::cerr << "step " << step << ": " << receipt << "\n";
            frame = Frame();
        }
    }
    const std::string end = R"({"state": "failed", "reason": "exploded"})";
    service.send("POST", "/runs/" + id + "/finish", "application/json", end);
    std::cout << id << std::endl;
}

}  // namespace

int main() {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int status = 0;
    try {
        Service service;
        train(service);
    } catch (const std::exception& error) {
        std::cerr << error.what() << std::endl;
        status = 1;
    }
    curl_global_cleanup();
    return status;
}
