//! The default floor on a small library's own pages: what they answer is answered, what they do not is not.

use tower::ServiceExt;
use tower_layer::Layer;

use super::testing::{Leaf, retrieved, text};
use super::{ConfidenceLayer, Labelled, LexicalRerank, RerankLayer, calibrate};
use crate::answer::{AbstainReason, Event, Finish};
use crate::scoped::Scoped;

const ENGLISH: [&str; 8] = [
    "The library lends six books at a time for three weeks. A loan can be extended twice unless somebody waits for the book.",
    "Opening hours: Tuesday to Friday from ten to seven, Saturday from ten to two. The library is closed on Sunday and Monday.",
    "A membership card costs 15 crowns a year; pupils and pensioners get it for nothing. Bring a proof of address.",
    "For a book that comes back late the fine is half a crown a day, at most 10 crowns.",
    "The reading room on the second floor has forty desks, lamps and sockets. Talking and telephones are not allowed there.",
    "Printing costs 1 crown a page in black and 3 crowns in colour. Scanning is free of charge.",
    "Every Thursday at five there is a story hour for children aged four to seven, with librarian Hedda Moss.",
    "The old lighthouse maps may be seen in the archive by appointment, with gloves, and may not be photographed.",
];

const VIETNAMESE: [&str; 8] = [
    "Thư viện cho mượn mỗi lần sáu quyển sách trong ba tuần. Có thể gia hạn hai lần nếu không ai đang chờ quyển đó.",
    "Giờ mở cửa: thứ ba đến thứ sáu từ 10 giờ đến 19 giờ, thứ bảy từ 10 giờ đến 14 giờ. Chủ nhật và thứ hai nghỉ.",
    "Thẻ thành viên giá 90.000 đồng một năm; học sinh và người cao tuổi được miễn phí. Mang theo giấy tờ có địa chỉ.",
    "Trả sách trễ bị phạt 2.000 đồng một ngày, nhiều nhất là 40.000 đồng.",
    "Phòng đọc ở tầng hai có bốn mươi bàn, đèn và ổ điện. Không được nói chuyện và gọi điện thoại ở đó.",
    "In đen trắng 1.000 đồng một trang, in màu 3.000 đồng. Quét tài liệu không mất tiền.",
    "Chiều thứ năm hàng tuần lúc 17 giờ có giờ kể chuyện cho trẻ từ bốn đến bảy tuổi, do cô thủ thư Hạ My phụ trách.",
    "Bản đồ hải đăng cổ được xem trong kho lưu trữ theo lịch hẹn, phải đeo găng tay và không được chụp ảnh.",
];

const ANSWERABLE: [&str; 20] = [
    "How many books can I borrow at a time?",
    "Can a loan be extended?",
    "Is the library open on Sunday?",
    "What are the opening hours on Saturday?",
    "How much is a membership card?",
    "What is the fine for a late book?",
    "Where is the reading room?",
    "How much does printing in colour cost?",
    "When is the story hour for children?",
    "May I photograph the lighthouse maps?",
    "Mỗi lần được mượn mấy quyển sách?",
    "Có thể gia hạn sách không?",
    "Giờ mở cửa thứ bảy là mấy giờ?",
    "Thẻ thành viên giá bao nhiêu?",
    "Trả sách trễ bị phạt bao nhiêu?",
    "phong doc o tang may",
    "In màu bao nhiêu tiền một trang?",
    "Giờ kể chuyện cho trẻ vào lúc nào?",
    "Có được chụp ảnh bản đồ hải đăng không?",
    "the thanh vien gia bao nhieu",
];

const UNANSWERABLE: [&str; 20] = [
    "Who won the football match yesterday?",
    "What is the capital of Mongolia?",
    "How do I reset my router password?",
    "Can you recommend a good dentist?",
    "Which stocks should I buy this week?",
    "How tall is the tallest volcano in Iceland?",
    "What wine goes with grilled salmon?",
    "Do you repair bicycles?",
    "When does the ferry to the airport leave?",
    "Is there a swimming pool nearby?",
    "Đội nào vô địch giải bóng đá năm ngoái?",
    "Thủ đô của Mông Cổ là thành phố nào?",
    "Làm sao đặt lại mật khẩu bộ định tuyến?",
    "Nên mua cổ phiếu công ty nào tuần tới?",
    "Núi lửa cao nhất Iceland cao bao nhiêu mét?",
    "Cách nấu phở bò ngon?",
    "Ở đây có sửa xe đạp không?",
    "Khi nào tàu ra sân bay khởi hành?",
    "Gần đây có hồ bơi không?",
    "thoi tiet ngay mai the nao",
];

/// The confidence of a question, and how it ended.
async fn ask(question: &str) -> (f32, Finish, String) {
    let passages: Vec<_> = ENGLISH.iter().chain(&VIETNAMESE).map(|text| (*text, 0.5)).collect();
    let request = retrieved(question, &passages);
    let trace = request.trace().clone();
    let stack = RerankLayer::new(LexicalRerank::new())
        .layer(ConfidenceLayer::new(LexicalRerank::FLOOR).layer(Leaf::answering("the model speaks")));
    let events = stack.oneshot(request).await.unwrap().collect().await.unwrap();
    let Some(Event::Finished(finish)) = events.last() else { panic!("{events:?}") };
    (trace.snapshot().confidence.unwrap(), finish.clone(), text(&events))
}

#[tokio::test]
async fn questions_with_an_answer_are_told_from_questions_without() {
    let (mut labelled, mut answered, mut refused) = (Vec::new(), 0, 0);
    for (question, answerable) in
        ANSWERABLE.iter().map(|q| (q, true)).chain(UNANSWERABLE.iter().map(|q| (q, false)))
    {
        let (confidence, finish, _) = ask(question).await;
        labelled.push(Labelled { confidence, answerable });
        let abstained = finish == Finish::Abstained(AbstainReason::BelowThreshold);
        answered += usize::from(answerable && !abstained);
        refused += usize::from(!answerable && abstained);
    }
    let found = calibrate(&labelled, 0.9).unwrap();
    assert!(answered >= 18 && refused >= 18, "of 20 each: {answered} answered, {refused} refused");
    assert!(found.auroc > 0.95, "{found:?}");
}

#[tokio::test]
async fn what_is_said_instead_names_the_search_and_offers_a_person() {
    let (_, _, english) = ask("What wine goes with grilled salmon?").await;
    assert!(english.contains("I don't know") && english.contains("16 passages"), "{english}");
    assert!(english.contains("Title of") && english.contains("member of staff"), "{english}");
    let (_, _, vietnamese) = ask("thoi tiet ngay mai the nao").await;
    assert!(vietnamese.contains("Tôi chưa biết") && vietnamese.contains("16 đoạn"), "{vietnamese}");
    assert!(vietnamese.contains("nhân viên"), "{vietnamese}");
}
